"""Reconstruction against numpy: one augmented least-squares problem per layer, without normal equations."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from nisp.pruning.contract import Consumer, Group, silence
from nisp.pruning.reconstruction import least_squares, refit, surviving_inputs
from nisp.pruning.sampling import sampled_rows
from nisp.pruning.selection import kept_channels
from nisp.pruning.surgery import remove_channels
from tests.conftest import build, problem

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
ALONE = 1e-3
GROUPS = (
    Group("0", (), (Consumer("2", torch.arange(4)[:, None]),), 4),
    Group("2", (), (Consumer("5", torch.arange(12).reshape(3, 4)),), 3),
)
KEPT = {"0": torch.tensor([0, 2, 3]), "2": torch.tensor([1, 2])}


def network(bias):
    """Maps of at most 2 x 2, so that every position is sampled and their order does not matter."""
    torch.manual_seed(4)
    layers = [nn.Conv2d(1, 4, 3, bias=bias), nn.Tanh(), nn.Conv2d(4, 3, 3, bias=bias), nn.Tanh(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(12, 5, bias=bias)).double()


def silenced(model):
    other = copy.deepcopy(model)
    for group in GROUPS:
        silence(other, group, KEPT[group.name])
    return other


def solved(x, y, start, ridge, bias):
    """Weights and bias that minimise |y - x w' - b|² + ridge m |w - start|², m the inputs' mean squared deviation."""
    spread = x - x.mean(0) if bias else x
    pull = np.sqrt(ridge * (spread**2).sum(0).mean())
    rows = np.concatenate([x, pull * np.eye(x.shape[1])])
    if bias:
        rows = np.concatenate([rows, np.r_[np.ones(len(x)), np.zeros(x.shape[1])][:, None]], 1)
    solution = np.linalg.lstsq(rows, np.concatenate([y, pull * start.T]), rcond=None)[0]
    return solution[: x.shape[1]].T, solution[x.shape[1]] if bias else np.zeros(y.shape[1])


def error(x, y, weight, bias):
    return ((y - x @ weight.T - bias) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()


def seen(model, layer, images):
    """What the layer reads, as rows of all its columns, and its outputs as rows."""
    inputs = model[:layer](images).detach()
    outputs = model[: layer + 1](images).detach()
    if layer == 2:
        inputs = torch.nn.functional.unfold(inputs, 3).transpose(1, 2).reshape(-1, 4 * 9)
        outputs = outputs.flatten(2).transpose(1, 2).reshape(-1, 3)
    return inputs.numpy(), outputs.numpy()


@pytest.mark.parametrize("bias", [True, False])
def test_every_layer_is_the_solution_of_its_own_problem_on_what_is_pruned_and_solved_before_it(bias):
    original = network(bias)
    images, validation = torch.randn(60, 1, 6, 6).double(), torch.randn(40, 1, 6, 6).double() * 1.5
    pruned = silenced(original)
    refits = least_squares(original, pruned, GROUPS, KEPT, images, validation, 0)
    by_hand = silenced(original)
    columns = {2: [9 * c + t for c in (0, 2, 3) for t in range(9)], 5: list(range(4, 12))}
    for found, layer in zip(refits, (2, 5), strict=True):
        weight = by_hand[layer].weight.detach().flatten(1).numpy()[:, columns[layer]]
        present = by_hand[layer].bias.detach().numpy() if bias else 0.0
        x, y = seen(by_hand, layer, images)[0][:, columns[layer]], seen(original, layer, images)[1]
        other_x, other_y = seen(by_hand, layer, validation)[0][:, columns[layer]], seen(original, layer, validation)[1]
        solutions = {ridge: solved(x, y, weight, ridge, bias) for ridge in RIDGES}
        checked = {ridge: error(other_x, other_y, *solution) for ridge, solution in solutions.items()}
        best = min(checked, key=checked.get)
        assert (found.layer, found.ridge) == (str(layer), best)
        assert found.error == pytest.approx(error(x, y, *solutions[best]), rel=1e-9)
        assert found.error_before == pytest.approx(error(x, y, weight, present), rel=1e-9)
        assert found.validation_error == pytest.approx(checked[best], rel=1e-9)
        with torch.no_grad():
            target = by_hand[layer].weight.flatten(1)
            target[:, columns[layer]] = torch.from_numpy(solutions[best][0])
            by_hand[layer].weight.copy_(target.reshape(by_hand[layer].weight.shape))
            if bias:
                by_hand[layer].bias.copy_(torch.from_numpy(solutions[best][1]))
        for name, tensor in by_hand.state_dict().items():
            if name.startswith(str(layer)):
                torch.testing.assert_close(pruned.state_dict()[name], tensor, rtol=1e-8, atol=1e-10)


def test_validation_images_choose_a_different_ridge_than_the_calibration_images_would():
    """Few images against 27 columns: the smallest ridge fits them best, and a larger one others."""
    original = network(bias=True)
    pruned = silenced(original)
    images, validation = torch.randn(8, 1, 6, 6).double(), torch.randn(40, 1, 6, 6).double()
    refits = least_squares(original, pruned, GROUPS, KEPT, images, validation, 0)
    assert all(refit.ridge > RIDGES[0] for refit in refits)


@pytest.mark.parametrize("bias", [True, False])
def test_refit_without_validation_images_takes_a_ridge_of_a_thousandth(bias):
    original = network(bias)
    images = torch.randn(60, 1, 6, 6).double()
    model = silenced(original)
    kept = torch.tensor([0, 2, 3])
    weight = model[2].weight.detach().flatten(1).numpy()[:, [9 * c + t for c in (0, 2, 3) for t in range(9)]]
    x, y = seen(model, 2, images)[0][:, [9 * c + t for c in (0, 2, 3) for t in range(9)]], seen(original, 2, images)[1]
    left = refit(model, "2", kept, sampled_rows(original, ("2",), images, 0)["2"], images, 0)
    expected = solved(x, y, weight, ALONE, bias)
    np.testing.assert_allclose(model[2].weight.detach()[:, kept].flatten(1), expected[0], rtol=1e-8, atol=1e-10)
    assert not model[2].weight[:, 1].any()
    assert left == pytest.approx(error(x, y, *expected), rel=1e-9)


@pytest.mark.parametrize("model", [("resnet", 8), ("plain", 14)])
def test_layers_are_solved_in_the_order_of_the_network_however_groups_or_names_are_sorted(model, digits):
    net = build(*model)
    given, _ = problem(net, digits)
    pruned = copy.deepcopy(net)
    kept = {group.name: torch.arange(given.keep[group.name]) for group in given.groups}
    for group in given.groups:
        silence(pruned, group, kept[group.name])
    images = digits.validation.images[:30]
    solved_layers = [r.layer for r in least_squares(net, pruned, given.groups, kept, given.images, images, 0)]
    assert solved_layers == [name for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)][1:]
    if model[0] == "resnet":
        assert solved_layers != list(dict.fromkeys(c.name for group in given.groups for c in group.consumers))
    else:
        assert solved_layers != sorted(solved_layers)


def test_each_of_five_ridges_is_tried_and_reported():
    """A layer that loses inputs which the others predict up to noise: the noisier, the larger the best ridge."""
    original = nn.Sequential(nn.Linear(12, 5)).double()
    group = Group("g", (), (Consumer("0", torch.arange(12)[:, None]),), 12)
    kept, chosen = torch.arange(6), set()
    start = original[0].weight.detach()[:, kept].numpy()
    for noise in (0.03, 0.1, 0.3, 0.6, 1, 1.3, 1.6, 2, 2.5, 3):
        left = torch.randn(230, 6).double()
        gone = left.flip(1) + noise * torch.randn(230, 6).double()
        images, validation = torch.cat([left, gone], 1).split([30, 200])
        pruned = copy.deepcopy(original)
        silence(pruned, group, kept)
        [found] = least_squares(original, pruned, [group], {"g": kept}, images, validation, 0)
        x, other = images[:, kept].numpy(), validation[:, kept].numpy()
        y, other_y = original(images).detach().numpy(), original(validation).detach().numpy()
        checked = {ridge: error(other, other_y, *solved(x, y, start, ridge, True)) for ridge in RIDGES}
        assert found.ridge == min(checked, key=checked.get)
        assert found.validation_error == pytest.approx(checked[found.ridge])
        chosen.add(found.ridge)
    assert chosen == set(RIDGES)


def test_inputs_that_survive_are_those_of_kept_channels_and_of_groups_that_stay_whole_in_order():
    groups = (
        Group("b", (), (Consumer("x", torch.tensor([[4, 5], [6, 7]])),), 2),
        Group("a", (), (Consumer("x", torch.tensor([[3], [1], [0], [2]])), Consumer("y", torch.arange(4)[:, None])), 4),
    )
    assert surviving_inputs("x", groups, {"a": torch.tensor([0, 2])}).tolist() == [0, 3, 4, 5, 6, 7]
    assert surviving_inputs("x", groups, {"a": torch.tensor([1]), "b": torch.tensor([1])}).tolist() == [1, 6, 7]
    assert surviving_inputs("y", groups, {"b": torch.tensor([1])}).tolist() == [0, 1, 2, 3]


class WithImage(nn.Module):
    """The second layer reads the first one's channels and the image, which is in no group."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 4), nn.Linear(6, 3)

    def forward(self, x):
        return self.second(torch.cat([torch.tanh(self.first(x)), x], 1))


def test_inputs_that_are_in_no_group_contribute_what_they_did():
    net, images = WithImage().double(), torch.randn(50, 2).double()
    group = Group("first", (), (Consumer("second", torch.arange(4)[:, None]),), 4)
    same = copy.deepcopy(net)
    [found] = least_squares(net, same, [group], {}, images, images[:20], 0)
    assert found.error_before < 1e-20 and torch.allclose(same(images), net(images), rtol=0, atol=1e-12)
    pruned = copy.deepcopy(net)
    silence(pruned, group, [0, 2])
    [found] = least_squares(net, pruned, [group], {"first": [0, 2]}, images, images[:20], 0)
    weight, outputs = net.second.weight.detach(), net(images).detach()
    x, y = torch.tanh(net.first(images)).detach()[:, [0, 2]], outputs - images @ weight[:, 4:].T
    expected = solved(x.numpy(), y.numpy(), weight[:, [0, 2]].numpy(), found.ridge, True)
    np.testing.assert_allclose(pruned.second.weight.detach()[:, [0, 2]], expected[0], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(pruned.second.bias.detach(), expected[1], rtol=1e-8, atol=1e-10)
    assert torch.equal(pruned.second.weight[:, 4:], weight[:, 4:])
    assert found.error == pytest.approx(((outputs - pruned(images)) ** 2).sum().item() / squared_deviation(outputs))


def squared_deviation(outputs):
    return ((outputs - outputs.mean(0)) ** 2).sum().item()


def test_constant_targets_leave_no_error():
    """Nothing varies, so there is nothing that could be left over: 0, not a division by zero."""
    model = nn.Sequential(nn.Linear(3, 2)).double()
    images = torch.ones(6, 3).double()
    target = sampled_rows(model, ("0",), images, 0)["0"]
    assert refit(model, "0", torch.arange(3), target, images, 0) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("model", [("lenet", None), ("plain", 6), ("resnet", 8)])
def test_least_squares_lowers_the_error_of_every_layer(model, digits):
    net = build(*model)
    given, structure = problem(net, digits, count=200)
    scores = {group.name: torch.rand(group.channels) for group in given.groups}
    kept = {name: kept_channels(scores[name], keep) for name, keep in given.keep.items()}
    silenced = copy.deepcopy(net)
    for group in given.groups:
        silence(silenced, group, kept[group.name])
    before = copy.deepcopy(silenced)
    validation = digits.validation.images[:100]
    refits = least_squares(net, silenced, given.groups, kept, given.images, validation, 0)
    assert all(0 <= refit.error < min(1, refit.error_before) for refit in refits)
    assert all(refit.validation_error < 1.5 for refit in refits)
    with torch.no_grad():
        outputs = [m(given.images) for m in (net, before, silenced, remove_channels(silenced, structure, kept))]
    assert (outputs[2] - outputs[0]).norm() < 0.7 * (outputs[1] - outputs[0]).norm()
    torch.testing.assert_close(outputs[2], outputs[3], rtol=1e-3, atol=1e-3)


def test_nothing_pruned_changes_nothing(digits):
    net = build("plain", 4)
    given, _ = problem(net, digits)
    kept = {group.name: torch.arange(group.channels) for group in given.groups}
    refitted = copy.deepcopy(net)
    least_squares(net, refitted, given.groups, kept, given.images, digits.validation.images[:50], 0)
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(refitted.state_dict()[name], tensor, rtol=1e-2, atol=1e-3)
