"""Masks, types and numbers of channels: what a network computes from single values, and from its own shapes."""

import contextlib
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nisp.errors import UserError
from nisp.pruning.surgery import anatomy, removal_error, remove_channels
from tests.nisp.pruning.channels.test_channels import Net, producers, pruned_at

EXAMPLE = torch.randn(1, 1, 6, 6)


def conv(outputs=8, inputs=8, **options):
    return nn.Conv2d(inputs, outputs, 1, **options)


def assigned(net, x):
    x = net.conv(x)
    x[x < 0] = 0
    return x


def by_type(net, x):
    """Code that depends on the type takes the path that the network itself takes."""
    mask, kind = x > 0.1, net.head.weight.dtype
    assert mask.dtype == torch.bool and x.dtype == kind and not mask.is_floating_point()
    assert mask.long().dtype == torch.int64 and (mask * x).dtype == kind
    assert (
        x.type() in ("torch.FloatTensor", "torch.DoubleTensor")
        and x.half().dtype == torch.float16
        and x.argmax(2).dtype == torch.int64
    )
    assert (x.max(2).indices.dtype, x.max(2).values.dtype) == (torch.int64, kind)
    assert x.double().to(x).dtype == kind and (x.double() * x).dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net.conv(x).dtype == torch.bfloat16 or kind == torch.float64
    return x * mask.to(x.dtype)


def chosen(net, x):
    order = x.flatten(2).argsort(2)
    return x.flatten(2).gather(2, order)


ELEMENTWISE = {
    "a leaky unit by hand": lambda n, x: torch.where(x > 0, x, 0.1 * x),
    "zero or itself": lambda n, x: torch.where(x > 0.2, x, 0),
    "a mask as a factor": lambda n, x: (x > 0.2).float() * x,
    "masked": lambda n, x: x.masked_fill(x < 0.3, 0.0),
    "masked by a method": lambda n, x: x.where(x > 0.1, x.new_tensor(0.1)),
    "truth values combined": lambda n, x: (((x > 0.1) & (x < 0.5)) | ~(x == 0)).to(x.dtype) * x,
    "logical functions": lambda n, x: torch.logical_and(x > 0.1, torch.logical_not(x.isnan())) * x,
    "compared with an attribute": lambda n, x: torch.where(x > n.conv(x), x, n.conv(x)),
    "set where negative": assigned,
    "types": by_type,
    "between two": lambda n, x: torch.lerp(x, n.conv(x), 0.3),
    "product added": lambda n, x: torch.addcmul(x, n.conv(x), x, value=0.5),
    "quotient added": lambda n, x: torch.addcdiv(x, n.conv(x), 1 + x.abs()),
    "clamped by another": lambda n, x: torch.clamp(n.conv(x), max=x, min=-x),
    "a power of another": lambda n, x: (1 + x.abs()) ** n.conv(x) + 2 ** x,
    "functions of one value": lambda n, x: x.sin() + x.cos().expm1() + torch.erf(x) + F.hardshrink(x) + x.exp2(),
    "sorted positions": lambda n, x: x.flatten(2).sort(2).values,
    "largest positions": lambda n, x: x.flatten(2).topk(3, -1)[0] + x.flatten(2).topk(k=3).values,
    "middle position": lambda n, x: x.flatten(2).median(2).values,
    "sum of positions up to each": lambda n, x: x.cumsum(2) + x.cumsum(dim=3),
    "log of a sum of positions": lambda n, x: x.logsumexp((2, 3)),
    "log softmax of positions": lambda n, x: F.log_softmax(x.flatten(2), 2),
    "values at chosen positions": chosen,
    "average over positions by hand": lambda n, x: x.sum((2, 3)) / (x.shape[2] * x.shape[3]),
    "length over positions": lambda n, x: x / (1 + torch.linalg.vector_norm(x, 2, (2, 3), True)),
    "at points of a grid": lambda n, x: F.grid_sample(
        x, torch.linspace(-1, 1, 8).to(x).reshape(1, 2, 2, 2).expand(len(x), -1, -1, -1), align_corners=False),
    "at points that the network finds": lambda n, x: F.grid_sample(
        x, n.point(x).permute(0, 2, 3, 1).tanh(), align_corners=False),
    "windows": lambda n, x: n.window(F.unfold(x, 3, padding=1)[..., None]),
    "windows and back": lambda n, x: F.fold(F.unfold(x, 3, padding=1), (6, 6), 3, padding=1),
    "a gate of positions": lambda n, x: x * torch.sigmoid(n.one(x)),
    "positions mixed by a sum of products": lambda n, x: torch.einsum("nchw,vw->nchv", x, n.mix),
    "instance norm": lambda n, x: n.instance(x),
    "group norm of each channel": lambda n, x: n.single(x),
    "group norm of pairs": lambda n, x: n.pairs(x),
    "instance norm by running statistics": lambda n, x: n.tracked(x),
    "instance norm by a function": lambda n, x: F.instance_norm(x, weight=n.instance.weight),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:input's size at dim=1")
@pytest.mark.parametrize("case", ELEMENTWISE)
def test_channels_go_through_what_works_on_single_values(case):
    torch.manual_seed(0)
    layers = {
        "conv": conv(), "point": conv(2), "one": conv(1), "window": nn.Conv2d(72, 8, 1),
        "mix": nn.Parameter(torch.randn(4, 6)), "instance": nn.InstanceNorm2d(8, affine=True),
        "single": nn.GroupNorm(8, 8), "pairs": nn.GroupNorm(4, 8),
        "tracked": nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
    }  # fmt: skip
    for name in ("instance", "single", "pairs", "tracked"):
        nn.init.normal_(layers[name].weight)
        nn.init.normal_(layers[name].bias)
    structure, pruned = pruned_at(Net(ELEMENTWISE[case], 8, **layers), EXAMPLE)
    assert "stem" in {layer for group in producers(structure) for layer in group}
    assert pruned.stem.out_channels == 4
    pruned(EXAMPLE)


def shared_by_number(net, x):
    return net.conv(x / x.shape[1] ** 0.5)


COUNTS = {
    "divided by a root of the number": shared_by_number,
    "a root by math": lambda n, x: n.conv(x * (1 / math.sqrt(x.size(1)))),
    "the sum over the number of another": lambda n, x: n.conv(x + 1 / n.other(x).shape[1]),
    "numbered": lambda n, x: n.conv(x * (1 + torch.arange(x.shape[1]))[:, None, None]),
    "a tensor of the number": lambda n, x: n.conv(x * torch.tensor(x.shape[1])),
    "half the number": lambda n, x: n.conv(x + x.shape[1] // 2),
    "the number of values": lambda n, x: n.conv(x * (8 / x[0].numel())),
    "the length": lambda n, x: n.conv(x * len(x[0])),
    "compared": lambda n, x: n.conv(x if x.shape[1] > 5 else 2 * x),
    "compared with an attribute": lambda n, x: n.conv(x if x.shape[1] == n.stem.out_channels else 2 * x),
    "even": lambda n, x: n.conv(x if x.shape[1] % 2 == 0 else 2 * x),
    "the larger": lambda n, x: n.conv(x if max(x.shape[1], 6) > 6 else 2 * x),
}


@pytest.mark.parametrize("case", COUNTS)
def test_channels_stay_where_their_number_is_a_value(case):
    structure, _ = pruned_at(
        Net(lambda n, x: n.last(COUNTS[case](n, x)), 4, conv=conv(), other=conv(), last=conv(4)), EXAMPLE
    )
    found = {layer for group in producers(structure) for layer in group}
    assert found == {"conv", "last"} | ({"stem"} if "another" in case else set())


def test_channels_go_where_their_number_is_a_size():
    def resized(net, x):
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).reshape(n, int(c / 1), h * w).reshape(x.size())
        assert x.shape[1] > 1 and x.numel() == len(x) * x[0].numel() and x.shape[1] == x.relu().shape[1]
        return net.conv(x)

    structure, _ = pruned_at(Net(resized, 8, conv=conv()), EXAMPLE)
    assert {layer for group in producers(structure) for layer in group} == {"stem", "conv"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_activations_have_the_precision_of_the_network(dtype):
    def cast(net, x):
        assert x.dtype == dtype
        return F.conv2d(x, net.conv.weight.to(x.dtype), net.conv.bias)

    net = Net(cast, 8, conv=conv()).to(dtype).eval()
    assert [group.name for group in anatomy(net, EXAMPLE.to(dtype)).groups] == ["stem", "conv"]


def test_one_channel_that_meets_all_others_stays():
    structure, _ = pruned_at(Net(lambda n, x: n.conv(x) * x[:, :1], 8, conv=conv()), EXAMPLE)
    stem = structure.groups[0]
    assert stem.producers[0].outputs.flatten().tolist() == list(range(1, 8))


def test_whole_groups_of_a_group_norm_go():
    net = Net(lambda n, x: n.norm(n.conv(x)), 12, conv=conv(12), norm=nn.GroupNorm(4, 12))
    nn.init.normal_(net.norm.weight)
    structure, pruned = pruned_at(net, EXAMPLE)
    [_, group] = structure.groups
    assert group.producers[0].outputs.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert (pruned.norm.num_groups, pruned.norm.num_channels, pruned.conv.out_channels) == (2, 6, 6)


@pytest.mark.parametrize(
    "body",
    {
        "convolution": lambda n, x: n.conv(x),
        "functional": lambda n, x: F.conv2d(x, 2 * n.conv.weight, groups=2),
        "transposed": lambda n, x: n.up(x),
        "gated": lambda n, x: n.narrow(F.glu(x, 1)),
    }.items(),
    ids=lambda case: case[0],
)
def test_groups_that_would_read_one_anothers_channels_keep_them(body):
    """Each of the remaining channels has the label of another one, whose place it takes."""
    net = Net(
        lambda n, x: n.last(body[1](n, x.roll(1, 1))), 4, conv=conv(groups=2, bias=False), last=conv(4),
        up=nn.ConvTranspose2d(8, 8, 1, groups=2), narrow=conv(8, 4),
    )  # fmt: skip
    structure = anatomy(net.eval(), EXAMPLE)
    for group in structure.groups:
        for channel in range(group.channels):
            kept = {group.name: [channel]}
            with contextlib.suppress(UserError):
                pruned = remove_channels(net, structure, kept)
                assert removal_error(net, pruned, structure, kept, EXAMPLE) < 1e-14


def test_a_group_norm_over_channels_in_another_order_keeps_them():
    def shuffled(net, x):
        x = net.norm(net.conv(x))
        return x.view(len(x), 4, x.shape[1] // 4, 6, 6).transpose(1, 2).reshape(x.shape)

    structure, _ = pruned_at(
        Net(lambda n, x: n.last(shuffled(n, x)), 4, conv=conv(8), norm=nn.GroupNorm(2, 8), last=conv(4)), EXAMPLE
    )
    assert {layer for group in producers(structure) for layer in group} >= {"stem", "last"}
