"""Channels that the network's code takes apart: halves, parts, slices, sub-pixels. They go where removal is exact."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.nisp.pruning.channels.test_channels import EXAMPLE, Net, producers, pruned_at


def maxout(net, x):
    """As many values as channels compete in each place: channels i, i + 6, ..."""
    x = net.conv(x)
    return x.view(x.shape[0], 2, x.shape[1] // 2, *x.shape[2:]).amax(1)


def maxout_of_neighbours(net, x):
    x = net.conv(x)
    return x.view(x.shape[0], -1, 2, *x.shape[2:]).max(2).values


def maxout_unflattened(net, x):
    return net.conv(x).unflatten(1, (3, -1)).max(dim=1)[0]


def interleaved(net, x):
    x = net.conv(x).unflatten(1, (-1, 2))
    return x[:, :, 0] * torch.sigmoid(x[:, :, 1])


def halves_of_the_shape(net, x):
    x = net.conv(x)
    half = x.shape[1] // 2
    return x[:, :half] * torch.sigmoid(x[:, half:])


def a_quarter_of_the_shape(net, x):
    quarter = x.shape[1] // 4
    return torch.cat([net.part(x[:, :quarter]), x[:, quarter:]], 1)


def narrowed(net, x):
    half = x.size(1) // 2
    return torch.cat([net.part(x.narrow(1, 0, half)), x.narrow(1, half, half)], 1)


def every_second(net, x):
    x = net.conv(x)
    return x[:, ::2] - x[:, 1::2] * 2


def split_by_the_shape(net, x):
    a, b, c = net.conv(x).split(net.conv(x).shape[1] // 3, dim=1)
    return torch.cat([a * b, c], 1)


def split_by_constants(net, x):
    a, b = torch.split(net.conv(x), 6, dim=1)
    return a * b


def split_by_sizes_of_the_shape(net, x):
    quarter = x.shape[1] // 4
    a, b = x.split([quarter, x.shape[1] - quarter], 1)
    return torch.cat([net.part(a), b], 1)


def unequal_chunks(net, x):
    a, b, c = net.conv(x).chunk(3, 1)
    return torch.cat([a, net.part(b), c], 1)


def tensor_split(net, x):
    a, b = torch.tensor_split(net.conv(x), 2, dim=1)
    return a * b


def tensor_split_unequally(net, x):
    a, b, c = net.conv(x).tensor_split(3, 1)
    return torch.cat([a, b, c], 1)


def pixels_by_hand(net, x):
    x = net.conv(x)
    n, c, h, w = x.shape
    x = x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3)
    return net.last(x.reshape(n, c // 4, 2 * h, 2 * w))


def pixels_by_hand_of_einops(net, x):
    """The sub-pixels first, as einops' "b (r1 r2 c) h w -> b c (h r1) (w r2)"."""
    x = net.conv(x)
    n, c, h, w = x.shape
    x = x.reshape(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
    return net.last(x.reshape(n, c // 4, 2 * h, 2 * w))


def squeezed_and_shuffled(net, x):
    x = F.pixel_shuffle(net.norm(net.conv(x)), 2)
    return net.last(F.pixel_unshuffle(x * torch.sigmoid(x.mean((2, 3), keepdim=True)), 2))


def shared_by_branches(net, x):
    """One layer reads two maps, stacked as a batch."""
    a, b = net.last(torch.cat([net.conv(x), x], 0)).chunk(2, 0)
    return a + b


def heads_of_constant_size(net, x):
    """The size of a head is a constant, their number is not: whole heads go."""
    x = net.conv(x)
    x = x.reshape(x.shape[0], -1, 3, *x.shape[2:])
    return F.normalize(x, dim=2).flatten(1, 2)


def gated(net, x):
    return F.glu(net.conv(x), dim=1)


def gated_features(net, x):
    return net.gate(net.hidden(x.mean((2, 3))))


def conv(channels, inputs=8):
    return nn.Conv2d(inputs, channels, 1)


SHUFFLED = {"conv": conv(8), "norm": nn.BatchNorm2d(8), "last": conv(6, 8)}
CASES = {
    # name: (body, channels read by the head, layers, the layers whose channels can go, outputs of "conv" by half)
    "maxout": (maxout, 6, {"conv": conv(12)}, {"stem", "conv"}, 6),
    "maxout of neighbours": (maxout_of_neighbours, 6, {"conv": conv(12)}, {"stem", "conv"}, 6),
    "maxout of three": (maxout_unflattened, 4, {"conv": conv(12)}, {"stem", "conv"}, 6),
    "interleaved halves": (interleaved, 6, {"conv": conv(12)}, {"stem", "conv"}, 6),
    "halves of the shape": (halves_of_the_shape, 6, {"conv": conv(12)}, {"stem", "conv"}, 6),
    "a quarter of the shape": (a_quarter_of_the_shape, 10, {"part": conv(4, 2)}, {"stem", "part"}, None),
    "narrowed": (narrowed, 8, {"part": conv(4, 4)}, {"stem", "part"}, None),
    "every second": (every_second, 6, {"conv": conv(12)}, {"stem", "conv"}, 6),
    "split by the shape": (split_by_the_shape, 8, {"conv": conv(12)}, {"stem", "conv"}, 6),
    "split by a constant": (split_by_constants, 6, {"conv": conv(12)}, {"stem"}, 12),
    "split by sizes": (split_by_sizes_of_the_shape, 10, {"part": conv(4, 2)}, {"stem", "part"}, None),
    "unequal chunks": (unequal_chunks, 9, {"conv": conv(8), "part": conv(4, 3)}, {"stem", "part"}, 8),
    "split as a tensor": (tensor_split, 4, {"conv": conv(8)}, {"stem", "conv"}, 4),
    "split as a tensor, unequally": (tensor_split_unequally, 8, {"conv": conv(8)}, {"stem"}, 8),
    "pixels by hand": (pixels_by_hand, 5, {"conv": conv(16), "last": conv(5, 4)}, {"stem", "conv", "last"}, 8),
    "pixels, r first": (pixels_by_hand_of_einops, 5, {"conv": conv(16), "last": conv(5, 4)},
                        {"stem", "conv", "last"}, 8),
    "pixels there and back": (squeezed_and_shuffled, 6, SHUFFLED, {"stem", "conv", "last"}, 4),
    "a batch of branches": (shared_by_branches, 5, {"conv": conv(8), "last": conv(5)}, {"stem", "conv", "last"}, 4),
    "heads of constant size": (heads_of_constant_size, 12, {"conv": conv(12)}, {"stem", "conv"}, 6),
    "gated": (gated, 4, {"conv": conv(8)}, {"stem", "conv"}, 4),
    "gated features": (gated_features, 5, {"hidden": nn.Linear(8, 10), "gate": nn.GLU()}, {"stem", "hidden"}, None),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:input's size at dim=1")
@pytest.mark.parametrize("case", CASES)
def test_channels_of_parts(case):
    body, channels, layers, expected, left = CASES[case]
    structure, pruned = pruned_at(Net(body, channels, **layers), EXAMPLE)
    assert {layer for group in producers(structure) for layer in group} == expected
    assert left is None or pruned.conv.out_channels == left


def test_the_sub_pixels_of_a_channel_go_together():
    net = Net(lambda n, x: n.last(F.pixel_shuffle(n.conv(x), 2)), 5, conv=conv(12), last=conv(5, 3))
    structure, pruned = pruned_at(net, EXAMPLE, 0.34)
    group = next(group for group in structure.groups if group.name == "conv")
    assert group.producers[0].outputs.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert group.consumers[0].inputs.tolist() == [[0], [1], [2]]
    assert pruned.conv.out_channels == 8 and pruned.last.in_channels == 2


def test_channels_that_only_go_all_together_stay():
    net = Net(lambda n, x: x * F.pixel_shuffle(n.conv(x), 2)[:, :, :6, :6], 8, conv=conv(4))
    structure, pruned = pruned_at(net, EXAMPLE)
    assert producers(structure) == [("stem",)] and pruned.conv.out_channels == 4
