"""Operations of the dispatcher have the scores of the functions that they stand for."""

import pytest
import torch
import torch.nn.functional as F

from nisp.absolute import Response
from nisp.pruning.dispatch import Dispatched
from nisp.rules import dispatched
from nisp.table import COMPOSED, RULES
from tests.nisp.absolute_jacobian import pulled_back
from tests.nisp.cases_measured import numbers

aten = torch.ops.aten
WEIGHT, BIAS, VAR = numbers(4), numbers(4, seed=1), numbers(4, seed=2).abs()
SLOPES = numbers(1, 4, 1, 1, seed=3) * 2
GRID, GRID3 = numbers(1, 3, 3, 2, seed=4), numbers(1, 2, 2, 2, 3, seed=4)
KERNEL = numbers(6, 2, 2, 2, seed=5)
PADS = {1: [1, 2], 2: [1, 2, 0, 1], 3: [1, 2, 0, 1, 1, 0]}


def padded(name, dimensions):
    mode = "replicate" if name == "replication" else "reflect"
    shape = (1, 4, 4) if dimensions == 1 else (1, 4, 4, 4) if dimensions == 2 else (1, 1, 4, 4, 4)
    function = getattr(aten, f"{name}_pad{dimensions}d")
    return (
        function,
        lambda x: function(x.reshape(shape) if dimensions != 1 else x[0], PADS[dimensions]),
        lambda x: F.pad(x.reshape(shape) if dimensions != 1 else x[0], PADS[dimensions], mode),
    )


def upsampled(name, mode, dimensions, *options):
    function, size = getattr(aten, name), [5, 7, 3][:dimensions]

    def shaped(x):
        return x[0] if dimensions == 1 else x if dimensions == 2 else x[None]

    def plain(x):
        return F.interpolate(shaped(x), size, mode=mode, align_corners=None if mode == "nearest" else options[0])

    return function, lambda x: function(shaped(x), size, *options), plain


def in_place(name):
    function = getattr(aten, f"{name}_")
    return function, lambda x: function(x * 1), getattr(F, name)


CASES = [
    upsampled("upsample_nearest1d", "nearest", 1), upsampled("upsample_nearest2d", "nearest", 2),
    upsampled("upsample_nearest3d", "nearest", 3), upsampled("upsample_linear1d", "linear", 1, True),
    upsampled("upsample_bilinear2d", "bilinear", 2, False), upsampled("upsample_trilinear3d", "trilinear", 3, False),
    upsampled("upsample_bicubic2d", "bicubic", 2, True),
    (aten.upsample_bicubic2d, lambda x: aten.upsample_bicubic2d(x, [8, 6], False, 2.0, 1.5),
     lambda x: F.interpolate(x, scale_factor=(2, 1.5), mode="bicubic")),
    (aten._upsample_bilinear2d_aa, lambda x: aten._upsample_bilinear2d_aa(x, [2, 3], False),
     lambda x: F.interpolate(x, (2, 3), mode="bilinear", antialias=True)),
    *(padded(name, dimensions) for name in ("reflection", "replication") for dimensions in (1, 2, 3)),
    (aten.constant_pad_nd, lambda x: aten.constant_pad_nd(x, [1, 2, 0, 1], 3.0),
     lambda x: F.pad(x, [1, 2, 0, 1], value=3.0)),
    (aten._adaptive_avg_pool2d, lambda x: aten._adaptive_avg_pool2d(x, [3, 2]),
     lambda x: F.adaptive_avg_pool2d(x, (3, 2))),
    (aten._adaptive_avg_pool3d, lambda x: aten._adaptive_avg_pool3d(x[None], [3, 2, 1]),
     lambda x: F.adaptive_avg_pool3d(x[None], (3, 2, 1))),
    (aten.adaptive_max_pool2d, lambda x: aten.adaptive_max_pool2d(x, [3, 2])[0],
     lambda x: F.adaptive_max_pool2d(x, (3, 2))),
    (aten.adaptive_max_pool3d, lambda x: aten.adaptive_max_pool3d(x[None], [3, 2, 1])[0],
     lambda x: F.adaptive_max_pool3d(x[None], (3, 2, 1))),
    (aten.im2col, lambda x: aten.im2col(x, [2, 3], [1, 1], [1, 1], [2, 2]),
     lambda x: F.unfold(x, (2, 3), padding=1, stride=2)),
    (aten.col2im, lambda x: aten.col2im(x.reshape(1, 4, 16), [5, 5], [2, 2], [1, 1], [0, 0], [1, 1]),
     lambda x: F.fold(x.reshape(1, 4, 16), 5, 2)),
    (aten._unsafe_view, lambda x: aten._unsafe_view(x, [4, 16]), lambda x: x.reshape(4, 16)),
    (aten.alias, lambda x: aten.alias(x), lambda x: x * 1),
    (aten.slice, lambda x: aten.slice(x, 2, 1, 9, 2), lambda x: x[:, :, 1:9:2]),
    (aten.slice, lambda x: aten.slice(x, -1, -2), lambda x: x[..., -2:]),
    (aten._to_copy, lambda x: aten._to_copy(x, dtype=torch.float32), lambda x: x.float()),
    (aten._cdist_forward, lambda x: aten._cdist_forward(x[0], x[0] + 1, 2.0, None),
     lambda x: torch.cdist(x[0], x[0] + 1)),
    (aten.linalg_vector_norm, lambda x: aten.linalg_vector_norm(x, 2, [1], True),
     lambda x: torch.linalg.vector_norm(x, 2, 1, True)),
    (aten._softmax, lambda x: aten._softmax(x, 1, False), lambda x: F.softmax(x, 1)),
    (aten._log_softmax, lambda x: aten._log_softmax(x, 1, False), lambda x: F.log_softmax(x, 1)),
    (aten.log_sigmoid_forward, lambda x: aten.log_sigmoid_forward(x)[0], F.logsigmoid),
    (aten.native_layer_norm, lambda x: aten.native_layer_norm(x, [4], WEIGHT, BIAS, 0.1)[0],
     lambda x: F.layer_norm(x, [4], WEIGHT, BIAS, 0.1)),
    (aten.native_group_norm, lambda x: aten.native_group_norm(x, WEIGHT, BIAS, 1, 4, 16, 2, 0.1)[0],
     lambda x: F.group_norm(x, 2, WEIGHT, BIAS, 0.1)),
    (aten.native_batch_norm, lambda x: aten.native_batch_norm(x, WEIGHT, BIAS, BIAS, VAR, False, 0.1, 0.1)[0],
     lambda x: F.batch_norm(x, BIAS, VAR, WEIGHT, BIAS, False, 0.1, 0.1)),
    (aten.grid_sampler_2d, lambda x: aten.grid_sampler_2d(x, GRID, 0, 1, True),
     lambda x: F.grid_sample(x, GRID, "bilinear", "border", True)),
    (aten.grid_sampler_3d, lambda x: aten.grid_sampler_3d(x[None], GRID3, 1, 2, False),
     lambda x: F.grid_sample(x[None], GRID3, "nearest", "reflection", False)),
    (aten._scaled_dot_product_flash_attention_for_cpu,
     lambda x: aten._scaled_dot_product_flash_attention_for_cpu(x, x + 1, x * 2, 0.0, True, scale=0.3)[0],
     lambda x: F.scaled_dot_product_attention(x, x + 1, x * 2, is_causal=True, scale=0.3)),
    (aten._prelu_kernel, lambda x: aten._prelu_kernel(x, SLOPES), lambda x: F.prelu(x, SLOPES.flatten())),
    (torch._convolution,
     lambda x: torch._convolution(x, KERNEL, None, [1, 2], [1, 0], [1, 1], False, [0, 0], 2, False, False, True, True),
     lambda x: F.conv2d(x, KERNEL, None, (1, 2), (1, 0), 1, 2)),
    *(in_place(name) for name in ("silu", "gelu", "mish", "hardswish", "hardsigmoid", "relu6")),
]  # fmt: skip
"""An operation, a call of it, and the same without it."""


@pytest.mark.parametrize(("operation", "call", "plain"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_an_operation_has_the_scores_of_its_function(operation, call, plain):
    assert operation in RULES or operation in COMPOSED
    x = numbers(1, 4, 4, 4)
    scores = torch.rand_like(plain(x.clone()).double()) + 0.1
    torch.testing.assert_close(pulled_back(call, [x], scores), pulled_back(plain, [x], scores), rtol=1e-12, atol=0)


def test_no_operation_is_without_a_case():
    named = {operation for operation, *_ in CASES} | {aten.cudnn_batch_norm}  # which needs a GPU
    packets = {f for f in RULES | COMPOSED if isinstance(f, torch._ops.OpOverloadPacket)}
    assert packets <= named and dispatched.aten is aten


def test_a_traced_functions_numbers_are_followed():
    halved = torch.jit.trace(lambda x: x / 2 + torch.maximum(x, x * 2), torch.rand(2, 3))
    with Dispatched(Response):
        [score] = pulled_back(lambda x: halved(x), [numbers(2, 3)], torch.ones(2, 3).double())
    assert (score == 3.5).all()  # 1/2 of the quotient, and 1 + 2 of the maximum
