import copy

import pytest
import torch
from torch import nn

from nisp.errors import UserError
from nisp.pruning.contract import silence
from nisp.pruning.reconstruction import RIDGE, RIDGES, least_squares, refit, surviving_inputs
from nisp.pruning.sampling import sampled_rows
from nisp.pruning.selection import kept_channels
from nisp.pruning.surgery import remove_channels
from tests.conftest import build, problem


@pytest.mark.parametrize("conv", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "padding": 2}, {"bias": False}])
def test_rows_explain_the_outputs(conv):
    model = nn.Sequential(nn.Conv2d(2, 4, 3, **conv), nn.ReLU(), nn.Conv2d(4, 3, (3, 1)))
    for name, rows in sampled_rows(model, ("0", "2"), torch.randn(6, 2, 9, 9), seed=0).items():
        layer = model.get_submodule(name)
        outputs = torch.einsum("mct,oct->mo", rows.inputs, layer.weight.detach().flatten(2))
        outputs += 0 if layer.bias is None else layer.bias.detach()
        torch.testing.assert_close(outputs, rows.outputs, rtol=1e-4, atol=1e-5)


def test_grouped_convolutions_are_refused_by_name():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))
    with pytest.raises(UserError, match="layer 0"):
        sampled_rows(model, ("0",), torch.randn(2, 4, 5, 5), seed=0)


def test_refit_is_ridge_regression():
    """Against the normal equations of the centred system, solved for each output by lstsq on augmented rows."""
    torch.manual_seed(1)
    original = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    images = torch.randn(200, 6).double()
    kept = torch.tensor([0, 2, 3])
    model = copy.deepcopy(original)
    with torch.no_grad():
        model[2].weight[:, [1, 4]] = 0
    target = sampled_rows(original, ("2",), images, 0)["2"]
    left = refit(model, "2", kept, target, images, 0)
    x = original[:2](images).detach()[:, kept]
    y = original(images).detach()
    centred = x - x.mean(0)
    ridge = RIDGE * (centred**2).sum(0).mean()
    start = original[2].weight.detach()[:, kept]
    rows = torch.cat([centred, ridge.sqrt() * torch.eye(3).double()])
    wanted = torch.cat([(y - y.mean(0)) - centred @ start.T, torch.zeros(3, 3).double()])
    expected = start + torch.linalg.lstsq(rows, wanted).solution.T
    torch.testing.assert_close(model[2].weight.detach()[:, kept], expected)
    error = ((model(images).detach() - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
    assert left == pytest.approx(error.item())


@pytest.mark.parametrize("model", [("lenet", None), ("plain", 6), ("resnet", 8)])
def test_least_squares_lowers_the_error_of_every_layer(model, digits):
    net = build(*model)
    given, parts = problem(net, digits, count=200)
    scores = {group.name: torch.rand(group.channels) for group in given.groups}
    kept = {name: kept_channels(scores[name], keep) for name, keep in given.keep.items()}
    silenced = copy.deepcopy(net)
    for group in given.groups:
        silence(silenced, group, kept[group.name])
    before = copy.deepcopy(silenced)
    validation = digits.validation.images[:100]
    refits = least_squares(net, silenced, given.groups, kept, given.images, validation, 0)
    assert {refit.layer for refit in refits} == {c.name for group in given.groups for c in group.consumers}
    assert all(0 <= refit.error < min(1, refit.error_before) for refit in refits)
    assert all(refit.ridge in RIDGES and refit.validation_error < 1.5 for refit in refits)
    with torch.no_grad():
        outputs = [m(given.images) for m in (net, before, silenced, remove_channels(silenced, parts, kept))]
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
    assert surviving_inputs("3", given.groups, kept).tolist() == list(range(16))


def test_the_ridge_is_the_one_with_the_least_error_on_validation_images(digits):
    """Few calibration images against many inputs: the least error on them is no guide, and is not taken as one."""
    net = build("lenet", None)
    given, _ = problem(net, digits, count=12)
    kept = {group.name: torch.arange(given.keep[group.name]) for group in given.groups}
    refits = {}
    for ridges in (RIDGES, *((ridge,) for ridge in RIDGES)):
        silenced = copy.deepcopy(net)
        for group in given.groups:
            silence(silenced, group, kept[group.name])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("nisp.pruning.reconstruction.RIDGES", ridges)
            args = (net, silenced, given.groups, kept, given.images, digits.validation.images[:100], 0)
            refits[ridges] = least_squares(*args)[0]
    alone = {ridge: refits[(ridge,)] for ridge in RIDGES}
    assert refits[RIDGES] == min(alone.values(), key=lambda refit: refit.validation_error)
    assert refits[RIDGES].ridge > RIDGES[0], "the smallest ridge always fits the calibration images best"
    assert min(alone, key=lambda ridge: alone[ridge].error) == RIDGES[0]


def test_rows_of_batches_explain_the_outputs_too(monkeypatch):
    monkeypatch.setattr("nisp.pruning.sampling.BATCH_PIXELS", 200)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(196, 3))
    images = torch.randn(7, 2, 9, 9)
    rows = sampled_rows(model, ("0", "3"), images, seed=0)
    torch.testing.assert_close(rows["3"].outputs, model(images).detach())
    layer = model[0]
    outputs = torch.einsum("mct,oct->mo", rows["0"].inputs, layer.weight.detach().flatten(2)) + layer.bias.detach()
    assert len(outputs) == 7 * 5
    torch.testing.assert_close(outputs, rows["0"].outputs, rtol=1e-4, atol=1e-5)
