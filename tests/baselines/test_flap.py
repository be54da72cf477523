"""FLAP by hand, and against its formula written out for every kind of layer."""

import numpy as np
import pytest
import torch
from torch import nn

from baselines.flap import score
from nisp.pruning.contract import Consumer, Group, Problem
from tests.conftest import Grouped, build, problem


def given_of(model, images, *groups):
    keep = {group.name: 1 for group in groups}
    return Problem(model.eval(), groups, keep, images, torch.zeros(len(images), dtype=torch.long), "", 0)


def test_scores_by_hand():
    """0, 3, 3 and 1, 1, 4 have the variance 3, and a constant none; squared norms of the weights are 5, 2 and 100."""
    model = nn.Sequential(nn.Linear(3, 2))
    model[0].weight.data = torch.tensor([[1.0, 1, 6], [2, -1, 8]])
    images = torch.tensor([[0.0, 1, 9], [3, 1, 9], [3, 4, 9]])
    group = Group("g", (), (Consumer("0", torch.tensor([[0], [1], [2]])),), 3)
    assert score(given_of(model, images, group))["g"].tolist() == pytest.approx([15, 6, 0], abs=1e-12)
    pairs = Group("g", (), (Consumer("0", torch.tensor([[2, 1], [0, 1]])),), 2)
    assert score(given_of(model, images, pairs))["g"].tolist() == pytest.approx([6, 21])


def test_what_is_added_to_all_responses_changes_nothing_and_a_factor_counts_squared():
    model, images = nn.Sequential(nn.Conv2d(4, 3, 3, padding=1)).double(), torch.randn(8, 4, 5, 5).double()
    group = Group("g", (), (Consumer("0", torch.arange(4)[:, None]),), 4)
    plain = score(given_of(model, images, group))["g"]
    torch.testing.assert_close(score(given_of(model, images + 7, group))["g"], plain)
    torch.testing.assert_close(score(given_of(model, images * 3, group))["g"], plain * 9)
    model[0].weight.data *= 2
    torch.testing.assert_close(score(given_of(model, images, group))["g"], plain * 4)


@pytest.mark.parametrize("model", [("lenet", None), ("resnet", 8), ("grouped", None)])
def test_every_layer_that_reads_a_group_is_added_up(model, digits):
    net = Grouped().eval() if model[0] == "grouped" else build(*model)
    given, _ = problem(net, digits, count=40)
    found, read = score(given), {}
    for name in {consumer.name for group in given.groups for consumer in group.consumers}:
        net.get_submodule(name).register_forward_pre_hook(lambda _, inputs, name=name: read.update({name: inputs[0]}))
    with torch.no_grad():
        net(given.images)
    for group in given.groups:
        expected = np.zeros(group.channels)
        for consumer in group.consumers:
            layer, inputs = net.get_submodule(consumer.name), read[consumer.name].double()
            rows = inputs.transpose(0, 1).flatten(1).numpy()  # inputs x images and positions
            weight = layer.weight.detach().double()
            parts = getattr(layer, "groups", 1)
            for channel, columns in enumerate(consumer.inputs.tolist()):
                for part in range(parts):
                    mine = weight.chunk(parts)[part]
                    for column in columns:
                        variance = np.var(rows[part * weight.shape[1] + column], ddof=1)
                        expected[channel] += variance * (mine[:, column] ** 2).sum().item()
        np.testing.assert_allclose(found[group.name], expected, rtol=1e-6)
    if model[0] == "resnet":
        assert max(len(group.consumers) for group in given.groups) == 3
