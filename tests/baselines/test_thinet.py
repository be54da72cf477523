"""ThiNet's greedy choice by hand and with every cost written out; front to back with layers solved again by numpy."""

import copy
import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from baselines._greedy import gram, removal_order
from bench.contract import Consumer, Group, silence
from bench.patches import Rows, sampled_rows
from tests.conftest import build, problem


def order_by_trying_all(model, group, images, seed=0):
    """Step at which each channel goes: each time, that one with which the removed channels' parts are smallest."""
    parts = []
    for consumer in group.consumers:
        rows = sampled_rows(model, (consumer.name,), images, seed)[consumer.name]
        weight = model.get_parameter(f"{consumer.name}.weight").detach()
        weight = weight.reshape(len(weight), rows.inputs.shape[1], -1)[:, consumer.inputs]  # out, channels, run, taps
        parts.append(np.einsum("ncrt,ocrt->cno", rows.inputs[:, consumer.inputs].double(), weight.double()))
    parts = np.concatenate([part.reshape(group.channels, -1) for part in parts], 1)
    removed = []
    for _ in range(group.channels):
        costs = {c: (parts[[*removed, c]].sum(0) ** 2).sum() for c in range(group.channels) if c not in removed}
        removed.append(min(costs, key=costs.get))
    return [float(removed.index(channel)) for channel in range(group.channels)]


def kept_of(order, keep):
    """The channels that go last, ascending."""
    return torch.tensor(sorted(np.argsort(order)[len(order) - keep :]))


def solved_again(model, original, layer, inputs, images, ridge=1e-3):
    """Ridge regression of the layer around its weights and free in the bias: by lstsq on rows written below it."""
    rows = sampled_rows(model, (layer,), images, 0)[layer].inputs[:, inputs].double().flatten(1).numpy()
    targets = sampled_rows(original, (layer,), images, 0)[layer].outputs.double().numpy()
    weight, bias = model.get_parameter(f"{layer}.weight"), dict(model.named_parameters()).get(f"{layer}.bias")
    start = weight.detach()[:, inputs].double().flatten(1).numpy()
    spread = rows if bias is None else rows - rows.mean(0)
    pull = np.sqrt(ridge * (spread**2).sum(0).mean()) * np.eye(rows.shape[1])
    system = np.concatenate([rows, pull])
    if bias is not None:
        system = np.concatenate([system, np.r_[np.ones(len(rows)), np.zeros(len(pull))][:, None]], 1)
    solution = np.linalg.lstsq(system, np.concatenate([targets, pull @ start.T]), rcond=None)[0]
    with torch.no_grad():
        found = torch.from_numpy(solution[: rows.shape[1]].T).reshape(weight[:, inputs].shape)
        weight[:, inputs] = found
        if bias is not None:
            bias.copy_(torch.from_numpy(solution[-1]))


def test_the_greedy_choice_by_hand():
    """Parts (3, 0), (-3, 1), (2, 0): the third is smallest; with it, the second nearly cancels; the first is last."""
    model = nn.Sequential(nn.Linear(3, 1, bias=False))
    model[0].weight.data = torch.ones(1, 3)
    group = Group("g", (), (Consumer("0", torch.arange(3)[:, None]),), 3)
    rows = {"0": Rows(torch.tensor([[3.0, -3, 2], [0, 1, 0]])[:, :, None], torch.zeros(2, 1))}
    assert removal_order(model, group, rows).tolist() == [2, 1, 0]


def test_of_equal_channels_the_first_goes_first_and_none_goes_twice():
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    model[0].weight.data = torch.ones(1, 4)
    group = Group("g", (), (Consumer("0", torch.arange(4)[:, None]),), 4)
    rows = {"0": Rows(torch.eye(4)[:, :, None], torch.zeros(4, 1))}
    assert removal_order(model, group, rows).tolist() == [0, 1, 2, 3]


def test_products_of_parts_are_summed_in_float64():
    """Float32 would be off in the seventh digit, and could turn the order of channels that are nearly alike."""
    model = nn.Sequential(nn.Conv2d(4, 3, 2))
    rows = Rows(torch.randn(50, 4, 4) + 10, torch.zeros(50, 3))
    weight = model[0].weight.detach().double().flatten(2)
    parts = torch.einsum("nct,oct->noc", rows.inputs.double(), weight).flatten(0, 1)
    found = gram(model, "0", torch.arange(4)[:, None], rows)
    torch.testing.assert_close(found, parts.T @ parts, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("model", [("lenet", None), ("resnet", 8)])
def test_every_group_is_ordered_by_what_all_of_its_readers_lose(model, digits):
    net = build(*model)
    given, _ = problem(net, digits, seed=3)
    found = importlib.import_module("baselines.thinet").score(given)
    assert max(len(group.consumers) for group in given.groups) == (1 if model[0] == "lenet" else 3)
    for group in given.groups:
        assert found[group.name].tolist() == order_by_trying_all(net, group, given.images, 3)


@pytest.mark.parametrize("refits", [False, True])
def test_thinet_front_to_back_sees_what_is_left_and_solved_again(refits, digits):
    net = build("plain", 4).double()
    given, _ = problem(net, digits, count=40)
    given = replace(given, images=given.images.double())
    found = importlib.import_module("baselines.thinet_sequential").score(given, refit_layers=refits)
    present = copy.deepcopy(net)
    for group in given.groups:
        order = order_by_trying_all(present, group, given.images)
        assert found[group.name].tolist() == order
        kept = kept_of(order, given.keep[group.name])
        silence(present, group, kept)
        for consumer in group.consumers if refits else ():
            solved_again(present, net, consumer.name, consumer.inputs[kept].flatten(), given.images)


def test_layers_solved_again_change_the_choice_from_the_second_layer_on(digits):
    given, _ = problem(build("plain", 4), digits)
    score = importlib.import_module("baselines.thinet_sequential").score
    plain, refitted = score(given), score(given, refit_layers=True)
    first, second = (group.name for group in given.groups[:2])
    assert torch.equal(plain[first], refitted[first]) and not torch.equal(plain[second], refitted[second])
