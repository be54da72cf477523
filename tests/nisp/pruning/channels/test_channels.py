"""Which channels can go, found by following ids: against torch-pruning's graph, and on what networks do to channels."""

import copy
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torch_pruning as tp
import torchvision
from torch import nn

from nisp.errors import UserError
from nisp.pruning.selection import keep_plan, kept_channels
from nisp.pruning.surgery import anatomy, removal_error, remove_channels
from tests.conftest import EMBEDDED, build


def pruned_at(model, example, ratio=0.5):
    """The anatomy and the network pruned by random scores; surgery is proven equal to silencing."""
    model.eval()
    structure = anatomy(model, example)
    plan = keep_plan(structure.groups, ratio)
    generator = torch.Generator().manual_seed(1)
    kept = {g.name: kept_channels(torch.rand(g.channels, generator=generator), plan[g.name]) for g in structure.groups}
    pruned = remove_channels(model, structure, kept)
    assert removal_error(model, pruned, structure, kept, torch.randn(2, *example.shape[1:])) < 1e-10
    return structure, pruned


def producers(structure):
    return [tuple(producer.name for producer in group.producers) for group in structure.groups]


def randomised(model):
    """Norms that are not the identity, and no parameter that is all zero."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0, 0.02)
    return model.eval()


ORACLE = [
    *EMBEDDED,
    *[(name, "torchvision") for name in ("resnet18", "mobilenet_v2", "squeezenet1_1", "efficientnet_b0")],
]


@pytest.mark.parametrize(("name", "source"), ORACLE)
def test_every_group_is_what_torch_prunings_dependency_graph_removes(name, source):
    """Group by group: the same indices removed by both leave the same weights."""
    if source == "torchvision":
        model, example = randomised(torchvision.models.get_model(name)), torch.randn(1, 3, 64, 64)
    else:
        model, example = build(name, source), torch.randn(1, 1, 8, 8)
    structure = anatomy(model, example)
    assert len(structure.groups) > 2
    for group in structure.groups[:: max(1, len(structure.groups) // 6)]:
        kept = torch.arange(0, group.channels, 2)
        ours = remove_channels(model, structure, {group.name: kept})
        theirs = copy.deepcopy(model)
        graph = tp.DependencyGraph().build_dependency(theirs, example)
        root = theirs.get_submodule(group.producers[0].name)
        remove = tp.prune_linear_out_channels if isinstance(root, nn.Linear) else tp.prune_conv_out_channels
        removed = group.producers[0].outputs[1::2].flatten().tolist()
        graph.get_pruning_group(root, remove, removed).prune()
        expected, actual = theirs.state_dict(), ours.state_dict()
        assert {key: value.shape for key, value in actual.items()} == {k: v.shape for k, v in expected.items()}
        assert all(torch.equal(actual[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "regnet_y_400mf", "mnasnet0_5", "swin_t"])
def test_networks_that_torch_pruning_or_masks_find_hard(name):
    structure, pruned = pruned_at(randomised(torchvision.models.get_model(name)), torch.randn(1, 3, 64, 64))
    left, whole = (sum(p.numel() for p in m.parameters()) for m in (pruned, torchvision.models.get_model(name)))
    assert left < 0.75 * whole and len(structure.groups) >= 12


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_pruned_along_so_that_training_goes_on(name):
    model = randomised(torchvision.models.get_model(name, init_weights=False))
    example = torch.randn(1, 3, 299, 299)
    structure, pruned = pruned_at(model, example)
    assert any("aux" in layer.lower() for group in producers(structure) for layer in group)
    outputs = pruned.train()(example.repeat(2, 1, 1, 1))
    sum(output.sum() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in pruned.parameters())


class Net(nn.Module):
    """A stem, what a test does to its channels, and a classifier."""

    def __init__(self, body, channels, **layers):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.head = nn.Linear(channels, 3)
        self.body = body

    def forward(self, x):
        x = self.body(self, torch.relu(self.stem(x)))
        return self.head(x.flatten(2).mean(2) if x.dim() > 2 else x)


EXAMPLE = torch.randn(1, 1, 6, 6)


def shuffled(net, x):
    x = net.conv(x)
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w) * 0.5


def gated(net, x):
    return x * torch.sigmoid(net.up(F.relu(net.down(x.mean((2, 3), keepdim=True)))))


def halves(net, x):
    a, b = net.conv(x).chunk(2, dim=1)
    return a * torch.sigmoid(b)


def in_heads(net, x):
    """As attention does: the number and size of heads are constants."""
    x = net.conv(x).flatten(2).transpose(1, 2)
    x = x.reshape(x.shape[0], x.shape[1], 2, 4).softmax(1)
    return net.out(x.reshape(x.shape[0], x.shape[1], 8)).transpose(1, 2)


def sliced(net, x):
    """The first four channels, counted by a constant, go their own way; behind them some can go."""
    return torch.cat([net.part(x[:, :4]), x[:, 4:]], 1)


def split_by_constants(net, x):
    a, b = torch.split(net.conv(x), [4, 4], dim=1)
    return torch.cat([a, b + a], 1)


CASES = {
    # name: (body, channels read by the head, layers, the layers whose channels can go)
    "channel shuffle": (shuffled, 8, {"conv": nn.Conv2d(8, 8, 1)}, {"stem", "conv"}),
    "squeeze and excite": (gated, 8, {"down": nn.Conv2d(8, 4, 1), "up": nn.Conv2d(4, 8, 1)}, {"stem", "down", "up"}),
    "gated halves": (halves, 4, {"conv": nn.Conv2d(8, 8, 1)}, {"stem", "conv"}),
    "grouped": (lambda n, x: n.conv(x), 12, {"conv": nn.Conv2d(8, 12, 3, groups=2)}, {"stem", "conv"}),
    "depthwise": (lambda n, x: n.conv(x), 8, {"conv": nn.Conv2d(8, 8, 3, groups=8)}, {"stem", "conv"}),
    "depthwise, doubling": (lambda n, x: n.conv(x), 16, {"conv": nn.Conv2d(8, 16, 3, groups=8)}, {"stem", "conv"}),
    "heads of constant size": (in_heads, 8, {"conv": nn.Conv2d(8, 8, 1), "out": nn.Linear(8, 8)}, {"stem", "out"}),
    "slices of constant size": (sliced, 8, {"part": nn.Conv2d(4, 4, 1)}, {"part", "stem"}),
    "splits of constant size": (split_by_constants, 8, {"conv": nn.Conv2d(8, 8, 1)}, {"stem"}),
    "layer norm": (lambda n, x: n.norm(n.conv(x).transpose(1, 3)).transpose(1, 3), 6,
                   {"conv": nn.Conv2d(8, 6, 1), "norm": nn.LayerNorm(6)}, {"stem"}),
    "group norm": (lambda n, x: n.norm(n.conv(x)), 6, 
                   {"conv": nn.Conv2d(8, 6, 1), "norm": nn.GroupNorm(2, 6)}, {"stem", "conv"}),
    "group norm of all": (lambda n, x: n.norm(n.conv(x)), 6,
                          {"conv": nn.Conv2d(8, 6, 1), "norm": nn.GroupNorm(1, 6)}, {"stem"}),
    "layer scale": (lambda n, x: n.conv(x) * n.scale[:, None, None] + x, 8,
                    {"conv": nn.Conv2d(8, 8, 1), "scale": nn.Parameter(torch.randn(8))}, {"stem", "conv"}),
    "prelu": (lambda n, x: n.act(n.conv(x)), 6, {"conv": nn.Conv2d(8, 6, 1), "act": nn.PReLU(6)}, {"stem", "conv"}),
    "a mean of channels": (lambda n, x: n.conv(x) * x.mean(1, True), 5, {"conv": nn.Conv2d(8, 5, 1)}, {"conv"}),
    "positions mixed": (lambda n, x: n.mix(x.flatten(2)), 8, {"mix": nn.Linear(36, 5)}, {"stem"}),
    "no rule": (lambda n, x: n.conv(torch.cumprod(x, 1)), 5, {"conv": nn.Conv2d(8, 5, 1)}, {"conv"}),
    "a layer twice": (lambda n, x: n.conv(torch.relu(n.conv(x))), 8, {"conv": nn.Conv2d(8, 8, 1)}, {"stem", "conv"}),
    "channels padded": (lambda n, x: F.pad(x, (1, 1, 1, 1, 0, 2)), 10, {}, {"stem"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_networks_do_to_channels(case):
    body, channels, layers, expected = CASES[case]
    structure, pruned = pruned_at(Net(body, channels, **layers), EXAMPLE)
    assert {layer for group in producers(structure) for layer in group} == expected
    assert pruned.head.out_features == 3
    for module in pruned.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape[:2] == (module.out_channels, module.in_channels // module.groups)


def test_channels_of_halves_and_of_grouped_parts_go_in_pairs():
    _, pruned = pruned_at(Net(halves, 4, conv=nn.Conv2d(8, 8, 1)), EXAMPLE)
    assert pruned.conv.out_channels == 4 and pruned.head.in_features == 2
    structure, pruned = pruned_at(Net(lambda n, x: n.conv(x), 12, conv=nn.Conv2d(8, 12, 3, groups=2)), EXAMPLE)
    assert structure.groups[1].producers[0].outputs.tolist() == [[i, i + 6] for i in range(6)]
    assert (pruned.conv.in_channels, pruned.conv.out_channels, pruned.conv.groups) == (4, 6, 2)


def test_sizes_that_a_module_holds_shrink_with_the_channels():
    def split(net, x):
        a, b = torch.split(net.conv(x), net.sizes, dim=1)
        return torch.cat([net.part(a), b], 1)

    net = Net(split, 7, conv=nn.Conv2d(8, 8, 1), part=nn.Conv2d(5, 4, 1), sizes=(5, 3))
    structure, pruned = pruned_at(net, EXAMPLE)
    assert {layer for group in producers(structure) for layer in group} == {"stem", "conv", "part"}
    assert pruned.sizes == (3, 2) and net.sizes == (5, 3) and pruned.part.in_channels == 3


def test_a_layer_whose_outputs_go_different_ways_makes_groups_with_numbers():
    class Split(nn.Module):
        def __init__(self):
            super().__init__()
            self.sizes = (3, 2, 3)
            self.stem, self.a, self.b = nn.Conv2d(2, 8, 1), nn.Conv2d(3, 4, 1), nn.Conv2d(2, 4, 1)
            self.head = nn.Linear(11, 2)

        def forward(self, x):
            a, b, c = torch.split(self.stem(x), self.sizes, 1)
            return self.head(torch.cat([self.a(a), self.b(b), c], 1).mean((2, 3)))

    model = Split().eval()
    structure = anatomy(model, torch.randn(1, 2, 6, 6))
    members = {
        g.name: [p.outputs.flatten().tolist() for p in g.producers if p.name == "stem"] for g in structure.groups
    }
    assert members == {"stem": [[0, 1, 2]], "stem#2": [[3, 4]], "stem#3": [[5, 6, 7]], "a": [], "b": []}
    third = structure.groups[[group.name for group in structure.groups].index("stem#3")]
    assert third.read_by("head").inputs.flatten().tolist() == [8, 9, 10]
    pruned = remove_channels(model, structure, {"stem": torch.tensor([2]), "stem#3": torch.tensor([0, 2])})
    assert pruned.sizes == (1, 2, 2) and torch.equal(pruned.stem.weight, model.stem.weight[[2, 3, 4, 5, 7]])
    assert torch.equal(pruned.head.weight, model.head.weight[:, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10]])


def test_weights_that_two_modules_share_stay_shared():
    net = Net(
        lambda n, x: n.a(torch.relu(n.b(x))), 8, a=nn.Conv2d(8, 8, 1, bias=False), b=nn.Conv2d(8, 8, 1, bias=False)
    )
    net.b.weight = net.a.weight
    _, pruned = pruned_at(net, EXAMPLE)
    assert pruned.a.weight is pruned.b.weight and pruned.a.weight.shape[:2] == (4, 4)


def test_a_network_without_removable_channels_is_refused_in_one_sentence():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(1, 4), nn.Flatten(), nn.Linear(64, 2))
    with pytest.raises(UserError, match=r"no channel that can be removed.*normalised together"):
        anatomy(net, EXAMPLE)


def test_the_network_is_left_as_it_was():
    net = build("resnet", 8).train()
    before = copy.deepcopy(net.state_dict())
    structure = anatomy(net, torch.randn(1, 1, 8, 8))
    remove_channels(net, structure, {structure.groups[0].name: torch.arange(4)})
    assert net.training and all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_the_documented_example_works_as_printed():
    [example] = re.findall(r"```python\n(.*?)```", Path("docs/surgery.md").read_text(), re.S)
    found = {}
    exec(compile(example, "docs/surgery.md", "exec"), found)
    assert len(found["structure"].groups) == 12 and found["pruned"].conv1.out_channels == 32
