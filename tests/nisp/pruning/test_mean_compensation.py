"""Biases that make up for removed channels: by hand, exactly for constant channels, and in the mean for all others."""

import copy

import pytest
import torch
from torch import nn

import nisp
from nisp.errors import UserError
from nisp.pruning.contract import Consumer, Group, Producer, silence
from nisp.pruning.mean_compensation import mean_compensation
from nisp.pruning.selection import kept_channels
from nisp.pruning.surgery import anatomy, remove_channels
from tests.conftest import Grouped, build, problem


def reader(layer, inputs, name="g"):
    return Group(name, (), (Consumer(layer, torch.as_tensor(inputs)),), len(inputs))


def compensated(model, groups, kept, images):
    """What is added, and a silenced copy that has it."""
    other = copy.deepcopy(model)
    for group in groups:
        silence(other, group, kept.get(group.name, range(group.channels)))
    return mean_compensation(model, other, groups, kept, images), other


def test_a_linear_layer_by_hand():
    """Means 2, 3 and 10; the second and third go: 3 · 5 + 10 · 7 and 3 · (-1) + 10 · 2."""
    model = nn.Sequential(nn.Linear(3, 2))
    model[0].weight.data = torch.tensor([[1.0, 5, 7], [1, -1, 2]])
    model[0].bias.data = torch.tensor([100.0, 200])
    images = torch.tensor([[1.0, 3, 0], [3, 3, 20]])
    added, other = compensated(model, [reader("0", [[0], [1], [2]])], {"g": [0]}, images)
    assert added["0"].tolist() == [85, 17] and other[0].bias.tolist() == [185, 217]
    assert other[0].weight.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert model[0].bias.tolist() == [100, 200], "the original is not changed"


def test_a_linear_layer_behind_a_flatten_has_a_mean_per_position_by_hand():
    """Channel 1 is columns 2 and 3, with the means 1 and 5: 1 · 3 + 5 · 4."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
    model[1].weight.data = torch.tensor([[1.0, 2, 3, 4]])
    model[1].bias.data.zero_()
    images = torch.tensor([[[8.0, 8], [0, 4]], [[8, 8], [2, 6]]])
    added, _ = compensated(model, [reader("1", [[0, 1], [2, 3]])], {"g": [0]}, images)
    assert added["1"].tolist() == [23]


def test_a_convolution_by_hand_counts_what_each_tap_reads():
    """The mean map 1, 3 with a zero on either side gives 7, 3 + 21, 9 by the taps 3, 7 and 1, -2 + 3, -6 by -2, 1."""
    model = nn.Sequential(nn.Conv2d(2, 2, (1, 2), padding=(0, 1), bias=False))
    model[0].weight.data = torch.tensor([[[[9.0, 9]], [[3, 7]]], [[[9, 9]], [[-2, 1]]]])
    images = torch.tensor([[[[4.0, 4]], [[0, 1]]], [[[4, 4]], [[2, 5]]]])
    added, other = compensated(model, [reader("0", [[0], [1]])], {"g": [0]}, images)
    assert added["0"].tolist() == pytest.approx([40 / 3, -4 / 3])
    assert other[0].bias.tolist() == pytest.approx([40 / 3, -4 / 3])


def test_a_grouped_convolution_by_hand_reads_a_channel_in_each_of_its_parts():
    """Inputs 0 and 1 are of the first part, 2 and 3 of the second; column 1, so inputs 1 and 3, goes."""
    model = nn.Sequential(nn.Conv1d(4, 2, 1, groups=2))
    model[0].weight.data = torch.tensor([[[1.0], [3]], [[1], [5]]])
    model[0].bias.data.zero_()
    images = torch.tensor([[[1.0], [2], [3], [4]], [[1], [4], [3], [8]]])
    added, _ = compensated(model, [reader("0", [[0], [1]])], {"g": [0]}, images)
    assert added["0"].tolist() == [3 * 3, 6 * 5]


def test_a_transposed_convolution_by_hand_writes_single_outputs_with_few_of_its_taps():
    """Stride 2 and a kernel of 4: two inputs of 3, times 1 + 2 + 3 + 6, are shared out among six outputs."""
    model = nn.Sequential(nn.ConvTranspose1d(2, 1, 4, stride=2))
    model[0].weight.data = torch.tensor([[[1.0, 1, 1, 1]], [[1, 2, 3, 6]]])
    model[0].bias.data.zero_()
    images = torch.tensor([[[1.0, 1], [3, 3]]])
    added, _ = compensated(model, [reader("0", [[0], [1]])], {"g": [0]}, images)
    assert added["0"].tolist() == [2 * 3 * 12 / 6]


EXACT = {
    "convolution": nn.Conv2d(4, 6, 3, dilation=(1, 2)),
    "without a bias": nn.Conv2d(4, 6, 3, stride=2, bias=False),
    "reflected": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    "in parts": nn.Conv2d(4, 6, 3, groups=2),
    "one tap": nn.ConvTranspose2d(4, 6, 1, groups=2, bias=False),
    "volumes": nn.Conv3d(4, 2, (1, 2, 2)),
}
"""Every output reads as many taps as any other."""
LAYERS = EXACT | {
    "padded": nn.Conv2d(4, 6, 3, padding=1),
    "padded far, in parts": nn.Conv2d(4, 6, (3, 1), padding=(2, 0), groups=2),
    "transposed": nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1),
    "transposed in parts": nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1, groups=2),
    "linear": nn.Linear(4, 3),
}


def drawn(case, constant):
    """The layer as a network, its groups, images, and the channels left when column 1 goes; that may be constant."""
    model = nn.Sequential(copy.deepcopy(LAYERS[case]).double())
    columns = 4 // getattr(model[0], "groups", 1)
    shape = {"linear": (4,), "volumes": (4, 2, 7, 8)}.get(case, (4, 7, 8))
    images = torch.randn(50, *shape).double() + 1
    if constant:
        images[:, 1::columns] = 2.5
    return model, [reader("0", torch.arange(columns)[:, None])], images, [c for c in range(columns) if c != 1]


@pytest.mark.parametrize("case", EXACT)
def test_constant_channels_are_made_up_for_exactly(case):
    model, groups, images, kept = drawn(case, constant=True)
    _, other = compensated(model, groups, {"g": kept}, images)
    torch.testing.assert_close(other(images), model(images))


@pytest.mark.parametrize("case", LAYERS)
def test_the_mean_output_stays_what_it_was(case):
    model, groups, images, kept = drawn(case, constant=False)
    added, other = compensated(model, groups, {"g": kept}, images)
    over = [dim for dim in range(images.dim()) if dim != 1]
    with torch.no_grad():
        expected, found = (net(images).mean(over) for net in (model, other))
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(other(images), model(images)) and added["0"].abs().min() > 1e-4


def test_at_a_border_with_zero_padding_the_constant_is_not_exact():
    model, groups, images, kept = drawn("padded", constant=True)
    _, other = compensated(model, groups, {"g": kept}, images)
    left = (other(images) - model(images)).detach()
    torch.testing.assert_close(left.mean((2, 3)), torch.zeros(50, 6).double())
    assert left.abs().amax((0, 2, 3)).min() > 1e-3


class Twice(nn.Module):
    """A linear layer that runs on tokens, and again on their mean."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(3, 3)

    def forward(self, x):
        return self.shared(self.shared(x).mean(1))


def test_all_runs_of_a_layer_count_alike_whatever_their_positions():
    model, images = Twice().double(), torch.randn(70, 5, 3).double()
    added, _ = compensated(model, [reader("shared", [[0], [1], [2]])], {"g": [1, 2]}, images)
    with torch.no_grad():
        read = images[..., 0].mean(), model.shared(images).mean(1)[:, 0].mean()
    torch.testing.assert_close(added["shared"], sum(read) / 2 * model.shared.weight.detach()[:, 0])


@pytest.mark.parametrize("model", [("lenet", None), ("resnet", 8), ("grouped", None)])
def test_a_cut_network_is_the_silenced_one_and_means_are_those_of_the_original(model, digits):
    net = (Grouped().eval() if model[0] == "grouped" else build(*model)).double()
    given, structure = problem(net, digits)
    images = given.images.double()
    kept = {group.name: kept_channels(torch.rand(group.channels), given.keep[group.name]) for group in given.groups}
    added, silenced = compensated(net, given.groups, kept, images)
    small = remove_channels(net, structure, kept)
    again = mean_compensation(net, small, given.groups, kept, images)
    assert added.keys() == again.keys() == {c.name for group in given.groups for c in group.consumers}
    torch.testing.assert_close(small(images), silenced(images))
    read = {}
    for name in added:
        net.get_submodule(name).register_forward_pre_hook(lambda _, inputs, name=name: read.update({name: inputs[0]}))
    with torch.no_grad():
        net(images)
    for name, shift in added.items():
        bare = copy.deepcopy(net.get_submodule(name))
        bare.bias = None
        bare.weight.data -= silenced.get_submodule(name).weight.detach()  # leaves what reads the removed channels
        lost = bare(read[name]).detach()
        torch.testing.assert_close(shift, lost.mean([dim for dim in range(lost.dim()) if dim != 1]))


def test_a_layer_that_several_groups_write_gets_the_sum_and_one_that_loses_nothing_is_left_alone():
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2))
    groups = [reader("0", [[0]], "a"), reader("0", [[2], [1]], "b"), reader("1", [[0], [1]], "c")]
    images = torch.tensor([[1.0, 2, 4]])
    added, other = compensated(model, groups, {"b": [1]}, images)
    assert list(added) == ["0"]
    torch.testing.assert_close(added["0"], 4 * model[0].weight[:, 2].detach().double())
    assert other[1].bias.tolist() == model[1].bias.tolist()


def test_a_new_bias_has_the_precision_of_the_weight_and_is_trained_if_it_is():
    for requires in (True, False):
        model = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False)).bfloat16().requires_grad_(requires)
        images = torch.ones(2, 2, 3, 3).bfloat16()
        added, other = compensated(model, [reader("0", [[0], [1]])], {"g": [0]}, images)
        bias = other[0].bias
        assert isinstance(bias, nn.Parameter) and bias.dtype == torch.bfloat16 and bias.requires_grad == requires
        torch.testing.assert_close(bias.detach(), added["0"].bfloat16())


class Headed(nn.Module):
    """With a head that runs in training only."""

    def __init__(self):
        super().__init__()
        self.conv, self.head, self.classifier = nn.Conv2d(1, 6, 3), nn.Linear(6, 4), nn.Linear(6, 10)

    def forward(self, x):
        x = self.conv(x).mean((2, 3))
        return (self.classifier(x), self.head(x)) if self.training else self.classifier(x)


def test_means_are_of_eval_mode_and_a_layer_that_does_not_run_is_left_alone():
    model = Headed().train()
    consumers = tuple(Consumer(name, torch.arange(6)[:, None]) for name in ("head", "classifier"))
    group = Group("conv", (Producer("conv", torch.arange(6)[:, None]),), consumers, 6)
    added, other = compensated(model, [group], {"conv": [1]}, torch.randn(4, 1, 5, 5))
    assert list(added) == ["classifier"] and model.training
    assert torch.equal(other.head.bias, model.head.bias)


def test_a_network_with_a_new_bias_is_saved_and_pruned_again(digits, tmp_path):
    net = build("resnet", 8)
    given, structure = problem(net, digits)
    kept = {group.name: range(given.keep[group.name]) for group in given.groups}
    small = remove_channels(net, structure, kept)
    mean_compensation(net, small, given.groups, kept, given.images)
    assert small.blocks[0].conv1.bias is not None
    nisp.save(small, tmp_path / "small")
    torch.testing.assert_close(nisp.load(tmp_path / "small")(given.images), small(given.images))
    parts = anatomy(small, given.images[:1])
    assert [group.name for group in parts.groups] == [group.name for group in given.groups]
    smaller = remove_channels(small, parts, {group.name: [0] for group in parts.groups})
    assert smaller.blocks[0].conv1.bias.shape == (1,)


def test_indices_that_are_not_the_groups_are_refused():
    model = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(UserError, match="'g' has no channel 3"):
        mean_compensation(model, model, [reader("0", [[0], [1], [2]])], {"g": [3]}, torch.ones(1, 3))
