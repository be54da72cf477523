"""One operation each: which channels can go through it, and that what is removed is what is silenced."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nisp.pruning.surgery import anatomy
from tests.nisp.pruning.channels.test_channels import Net, producers, pruned_at

EXAMPLE = torch.randn(1, 1, 6, 5)


def attention(net, x):
    tokens = x.flatten(2).transpose(1, 2)
    return net.out(F.scaled_dot_product_attention(net.q(tokens), net.k(tokens), net.v(tokens))).transpose(1, 2)


def attention_by_hand(net, x):
    tokens = x.flatten(2).transpose(1, 2)
    weights = (net.q(tokens) @ net.k(tokens).transpose(1, 2)).softmax(-1)
    return net.out(weights @ net.v(tokens)).transpose(1, 2)


def attention_with_channels_first(net, x):
    tokens = x.flatten(2).transpose(1, 2)
    weights = torch.bmm(net.k(tokens), net.q(tokens).transpose(1, 2)).softmax(1)
    return net.out(torch.matmul(net.v(tokens).transpose(1, 2), weights).transpose(1, 2)).transpose(1, 2)


def products_of_channels(net, x):
    """Every channel with every other, over positions: what comes out has no channels."""
    flat = net.conv(x).flatten(2)
    return (flat @ flat.transpose(1, 2)).flatten(1)


def crossed(net, x):
    return (net.conv(x)[:, :, None] + net.other(x)[:, None]).flatten(1, 2)


def qkv():
    return {"q": nn.Linear(8, 4), "k": nn.Linear(8, 4), "v": nn.Linear(8, 6), "out": nn.Linear(6, 7)}


def conv(outputs, inputs=8, **options):
    return nn.Conv2d(inputs, outputs, 1, **options)


CASES = {
    # name: (what is done, channels read by the head, layers, the layers whose channels can go)
    "attention": (attention, 7, qkv(), {"stem", "v", "out"}),
    "attention by hand": (attention_by_hand, 7, qkv(), {"stem", "v", "out"}),
    "attention with channels first": (attention_with_channels_first, 7, qkv(), {"stem", "v", "out"}),
    "products of channels": (products_of_channels, 25, {"conv": conv(5)}, {"stem"}),
    "crossed channels": (crossed, 20, {"conv": conv(5), "other": conv(4)}, {"stem"}),
    "joined with itself along positions": (lambda n, x: torch.cat([x, x], 2), 8, {}, {"stem"}),
    "joined with others along positions": (
        lambda n, x: n.last(torch.cat([x, n.conv(x)], 3)), 4, {"conv": conv(8), "last": conv(4)},
        {"stem", "conv", "last"}),
    "joined with a constant": (lambda n, x: torch.cat([torch.ones(1, 2, 6, 5).expand(len(x), -1, -1, -1), x], 1), 10,
                               {}, {"stem"}),
    "stacked and taken apart": (lambda n, x: torch.stack([x, n.conv(x)], 1)[:, 1], 8, {"conv": conv(8)},
                                {"stem", "conv"}),
    "flipped channels": (lambda n, x: x.flip(1), 8, {}, {"stem"}),
    "rolled channels": (lambda n, x: x.roll(1, 1), 8, {}, {"stem"}),
    "repeated channels": (lambda n, x: x.repeat(1, 2, 1, 1), 16, {}, {"stem"}),
    "channels repeated one by one": (lambda n, x: x.repeat_interleave(2, 1), 16, {}, {"stem"}),
    "positions padded by reflection": (lambda n, x: F.pad(x, (1, 2, 0, 1), "reflect"), 8, {}, {"stem"}),
    "channels padded in front and behind": (lambda n, x: F.pad(x, (0, 0, 0, 0, 1, 2)), 11, {}, {"stem"}),
    "normalised over positions": (lambda n, x: n.norm(x), 8, {"norm": nn.LayerNorm(5)}, {"stem"}),
    "normalised over positions and channels": (
        lambda n, x: n.norm(n.conv(x)), 4, {"conv": conv(4), "norm": nn.LayerNorm((4, 6, 5))}, {"stem"}),
    "softmax over positions": (lambda n, x: x.flatten(2).softmax(2), 8, {}, {"stem"}),
    "softmax over channels": (lambda n, x: F.softmax(n.conv(x), dim=1), 5, {"conv": conv(5)}, {"stem"}),
    "unit length over positions": (lambda n, x: F.normalize(x, dim=2), 8, {}, {"stem"}),
    "unit length over channels": (lambda n, x: F.normalize(n.conv(x)), 5, {"conv": conv(5)}, {"stem"}),
    "gated linear unit": (lambda n, x: F.glu(n.conv(x), 1), 3, {"conv": conv(6)}, {"stem", "conv"}),
    "largest over positions": (lambda n, x: x.amax((2, 3)), 8, {}, {"stem"}),
    "deviation over positions": (lambda n, x: x.std(2), 8, {}, {"stem"}),
    "the length of the channels": (lambda n, x: n.conv(x) * x.norm(2, 1, True), 5, {"conv": conv(5)}, {"conv"}),
    "flattened by view": (lambda n, x: n.last(x.view(len(x), -1)), 4, {"last": nn.Linear(240, 4)}, {"stem", "last"}),
    "a power that is a tensor": (lambda n, x: x.pow(torch.tensor(2.0)), 8, {}, {"stem"}),
    "padded positions and a constant for each": (
        lambda n, x: F.pad(x, (1, 2, 0, 1)) + torch.ones(7, 8), 8, {}, {"stem"}),
    "pooled positions and a constant for each": (
        lambda n, x: F.max_pool2d(x, (3, 2)) + torch.ones(2, 2) + F.adaptive_avg_pool2d(x, 2), 8, {}, {"stem"}),
    "scaled positions and a constant for each": (
        lambda n, x: F.interpolate(x, scale_factor=2) + torch.ones(12, 10), 8, {}, {"stem"}),
    "equal halves swapped": (lambda n, x: torch.cat(x.chunk(2, 1)[::-1], 1), 8, {}, {"stem"}),
    "the length over positions": (lambda n, x: x / (1 + x.norm(2, 3, True)), 8, {}, {"stem"}),
    "the length of everything": (lambda n, x: n.conv(x / (1 + x.norm(2))), 5, {"conv": conv(5)}, {"conv"}),
    "the mean of everything": (lambda n, x: n.conv(x + x.mean()), 5, {"conv": conv(5)}, {"conv"}),
    "the larger of two": (lambda n, x: torch.maximum(x, n.conv(x)), 8, {"conv": conv(8)}, {"stem", "conv"}),
    "chosen by a constant": (lambda n, x: torch.where(torch.ones(6, 5) > 0, x, n.conv(x)), 8, {"conv": conv(8)},
                             {"stem", "conv"}),
    "a constant for each channel": (lambda n, x: n.conv(x) * torch.arange(1.0, 6)[:, None, None], 5, {"conv": conv(5)},
                                    {"stem"}),
    "a constant for each position": (lambda n, x: x + torch.arange(5.0), 8, {}, {"stem"}),
    "a constant for all": (lambda n, x: 2 - x * torch.tensor(3.0), 8, {}, {"stem"}),
    "a parameter for each channel": (lambda n, x: x * n.scale.reshape(1, -1, 1, 1) + n.shift[None, :, None, None], 8,
                                     {"scale": nn.Parameter(torch.randn(8)), "shift": nn.Parameter(torch.randn(8))},
                                     {"stem"}),
    "one slope for all": (lambda n, x: n.act(n.conv(x)), 5, {"conv": conv(5), "act": nn.PReLU()}, {"stem", "conv"}),
    "normalised by image": (lambda n, x: n.norm(x), 8, {"norm": nn.InstanceNorm2d(8)}, {"stem"}),
    "one dimension": (lambda n, x: n.conv(x.flatten(2)), 4, {"conv": nn.Conv1d(8, 4, 3, stride=2)}, {"stem", "conv"}),
    "three dimensions": (lambda n, x: n.conv(x[..., None].expand(-1, -1, -1, -1, 3)), 4,
                         {"conv": nn.Conv3d(8, 4, (3, 2, 3))}, {"stem", "conv"}),
    "windows": (lambda n, x: x.unfold(2, 2, 2).flatten(4).mean(4), 8, {}, {"stem"}),
    "pixels from channels": (lambda n, x: F.pixel_shuffle(n.conv(x), 2), 2, {"conv": conv(8)}, {"stem", "conv"}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:input's size at dim=1")
@pytest.mark.parametrize("case", CASES)
def test_what_an_operation_does_to_channels(case):
    body, channels, layers, expected = CASES[case]
    structure, _ = pruned_at(Net(body, channels, **layers), EXAMPLE)
    assert {layer for group in producers(structure) for layer in group} == expected


class Headed(nn.Module):
    """A convolution and two auxiliary heads that read it, all of which run in training only."""

    def __init__(self):
        super().__init__()
        self.stem, self.head, self.classifier = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 4, 1), nn.Linear(6, 3)
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        outputs = [self.classifier(x.mean((2, 3)))]
        if self.training:
            outputs += [head(self.head(x).mean((2, 3))) for head in (self.first, self.second)]
        return outputs if self.training else outputs[0]


def test_heads_that_run_in_training_only_are_pruned_along():
    net = Headed().eval()
    structure, pruned = pruned_at(net, EXAMPLE)
    assert [[layer.name for layer in group.consumers] for group in structure.groups] == [
        ["classifier", "head"],
        ["first", "second"],
    ]
    assert not net.training and not pruned.training
    sum(output.sum() for output in pruned.train()(EXAMPLE)).backward()
    sizes = {name: tuple(p.shape[:2]) for name, p in pruned.named_parameters() if name.endswith("weight")}
    assert sizes == {"stem.weight": (3, 1), "head.weight": (2, 3), "classifier.weight": (3, 3),
                     "first.weight": (3, 2), "second.weight": (3, 2)}  # fmt: skip
    assert all(parameter.grad is not None for parameter in pruned.parameters())


def test_channels_that_meet_padding_stay_and_the_others_go_with_what_they_meet():
    def padded(net, x):
        return net.conv(x) + F.pad(x, (0, 0, 0, 0, 1, 1))

    structure, pruned = pruned_at(Net(padded, 10, conv=conv(10)), EXAMPLE)
    [group] = structure.groups
    found = {producer.name: producer.outputs.flatten().tolist() for producer in group.producers}
    assert found == {"stem": list(range(8)), "conv": list(range(1, 9))}
    assert (pruned.stem.out_channels, pruned.conv.out_channels) == (4, 6)


def test_channels_that_are_flipped_rolled_or_repeated_are_read_in_that_order():
    for name, order in (
        ("flipped channels", [7, 6, 5, 4, 3, 2, 1, 0]),
        ("rolled channels", [1, 2, 3, 4, 5, 6, 7, 0]),
        ("channels repeated one by one", [[2 * i, 2 * i + 1] for i in range(8)]),
        ("equal halves swapped", [[i, i + 4] for i in range(4)]),
        ("repeated channels", [[i, i + 8] for i in range(8)]),
        ("channels padded in front and behind", list(range(1, 9))),
    ):
        body, channels, layers, _ = CASES[name]
        [stem] = anatomy(Net(body, channels, **layers).eval(), EXAMPLE).groups
        assert stem.read_by("head").inputs.squeeze(1).tolist() == order
