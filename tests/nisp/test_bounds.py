"""Rules of operations that are not linear bound them: everywhere, or at the measured responses by the Jacobian."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.nisp.absolute_jacobian import assert_bounds, pulled_back


def images(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


ACTIVATIONS = {
    "relu": F.relu, "relu6": F.relu6, "leaky_relu": lambda x: F.leaky_relu(x, -1.5), "elu": lambda x: F.elu(x, 1.7),
    "celu": F.celu, "selu": F.selu, "gelu": F.gelu, "gelu, tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu, "mish": F.mish, "hardswish": F.hardswish, "sigmoid": torch.sigmoid, "hardsigmoid": F.hardsigmoid,
    "tanh": torch.tanh, "softplus": F.softplus, "hardtanh": F.hardtanh, "logsigmoid": F.logsigmoid,
    "prelu": lambda x: F.prelu(x, torch.tensor([1.3]).double()), "clamp": lambda x: x.clamp(-1, 2),
    "abs": torch.abs, "erf": torch.erf, "sin": torch.sin, "softsign": F.softsign,
}  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(ACTIVATIONS)), x=st.floats(-20, 20), y=st.floats(-20, 20))
def test_activations_are_bounded_everywhere(name, x, y):
    function = ACTIVATIONS[name]
    points = torch.tensor([[x], [y]], dtype=torch.float64)
    [constant] = pulled_back(function, [points], torch.ones_like(points))
    first, second = function(points).flatten().tolist()
    assert abs(first - second) <= constant.max().item() * abs(x - y) + 1e-12


@pytest.mark.parametrize("name", ["gelu", "gelu, tanh", "silu", "mish", "hardswish", "selu", "sigmoid", "hardsigmoid"])
def test_the_constants_are_the_smallest(name):
    points = torch.linspace(-6, 6, 200_001, dtype=torch.float64, requires_grad=True)
    [slopes] = torch.autograd.grad(ACTIVATIONS[name](points).sum(), points)
    [constant] = pulled_back(ACTIVATIONS[name], [points[:1].detach()], torch.ones(1).double())
    assert -1e-8 <= constant.item() - slopes.abs().max().item() <= 2e-4


def gate(x, g):
    return x * torch.sigmoid(g.mean((2, 3), keepdim=True))


def swish_in_place(x, g):
    return (x + 0).mul_(torch.sigmoid(g))


def attention(q, k, v):
    return F.scaled_dot_product_attention(q, k, v)


def masked(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.7)


def written_out(q, k, v):
    return (q @ k.transpose(-2, -1) / 2).softmax(-1) @ v


def biased(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=torch.eye(3).double() * 2)


def global_response_norm(x):
    length = x.norm(p=2, dim=(2, 3), keepdim=True)
    return x + torch.addcmul(
        torch.ones(1).double(), torch.full((1,), -2.0).double(), x * (length / (length.mean(1, True) + 1))
    )


def hand_written_norm(x):
    mean = x.mean(1, keepdim=True)
    return (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 0.1)


SINGLE = {
    "layer norm": nn.LayerNorm(4), "layer norm over two": nn.LayerNorm((2, 4)), "plain": nn.LayerNorm(4, bias=False),
    "rms norm": nn.RMSNorm(4), "group norm": nn.GroupNorm(2, 4), "instance norm": nn.InstanceNorm2d(4, affine=True),
    "normalize": F.normalize, "normalize the last": lambda x: F.normalize(x, dim=-1),
    "softmax": lambda x: x.softmax(1), "global response norm": global_response_norm, "by hand": hand_written_norm,
    "glu": lambda x: F.glu(x, 1), "square": lambda x: x.square(), "power": lambda x: F.relu(x) ** 3,
    "exp": torch.exp, "quotient": lambda x: x[:, :2] / (x[:, 2:].abs() + 1), "reciprocal": lambda x: -3 / (x.abs() + 1),
    "variance": lambda x: x.var(1, keepdim=True), "both": lambda x: torch.var_mean(x, 1, keepdim=True)[0],
    "maximum": lambda x: torch.maximum(x[:, :2], x[:, 2:]), "largest": lambda x: x.amax((2, 3)),
    "max": lambda x: x.max(1, keepdim=True).values,
    "max pool": nn.MaxPool2d(3, 2, 1), "max pool, ceil": nn.MaxPool2d(2, 3, ceil_mode=True),
    "max pool, dilated": nn.MaxPool2d(2, 1, 1, 2), "adaptive max pool": nn.AdaptiveMaxPool2d((2, 3)),
    "max pool by unfold": lambda x: F.unfold(x, 2).unflatten(1, (4, 4)).amax(2), "self product": lambda x: x @ x.mT,
    "einsum": lambda x: torch.einsum("nchw,nchv->ncwv", x, x + 1), "lerp": lambda x: torch.lerp(x, x * 2, 0.3),
}  # fmt: skip
PAIRS = {
    "gate": gate, "in place": swish_in_place, "bilinear gate": lambda x, g: x * g, "matrix": lambda x, g: x @ g.mT,
    "dynamic convolution": lambda x, g: F.conv2d(x, g[:2, :, :2, :2]), "min": torch.minimum,
    "dynamic linear": lambda x, g: F.linear(x, g[0, 0]), "constant divisor": lambda x, g: 2 / (1 + torch.exp(x + g)),
}  # fmt: skip
TRIPLES = {"attention": attention, "causal": masked, "written out": written_out, "position bias": biased}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", SINGLE)
def test_one_response(name, seed):
    function = SINGLE[name]
    if isinstance(function, nn.Module):
        function = function.double()
        for parameter in function.parameters():
            nn.init.normal_(parameter)
    shape = (3, 2, 4) if name == "layer norm over two" else (1, 4, 4, 4)
    assert_bounds(function, images(*shape, seed=seed))


@pytest.mark.parametrize("name", PAIRS)
def test_two_responses(name):
    assert_bounds(PAIRS[name], images(2, 2, 3, 3), images(2, 2, 3, 3, seed=1))


@pytest.mark.parametrize("name", TRIPLES)
def test_attention(name):
    assert_bounds(TRIPLES[name], *(images(1, 2, 3, 2, seed=seed) for seed in range(3)))


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_multi_head_attention(batch_first, separate):
    sizes = {"kdim": 3, "vdim": 2} if separate else {}
    layer = nn.MultiheadAttention(4, 2, batch_first=batch_first, **sizes).double().eval()
    inputs = [images(3, 2, size) for size in ((4, 3, 2) if separate else (4, 4, 4))]
    assert_bounds(lambda *x: layer(*x, need_weights=False)[0], *inputs)
    assert_bounds(lambda *x: layer(*x)[1], *inputs)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_gate_passes_no_more_than_its_signal_to_what_it_gates(seed):
    x, g = images(1, 3, 2, 2, seed=seed), images(1, 3, 2, 2, seed=seed + 1)
    scores = torch.ones(1, 3, 2, 2).double()
    signal, gated = pulled_back(gate, [x, g], scores)
    assert (signal <= scores).all() and (gated >= 0).all()
