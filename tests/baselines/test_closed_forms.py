"""Criteria of small networks whose responses and gradients can be written down, and what their options change."""

import copy
import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from baselines.obd_c import drawn_labels
from nisp.errors import UserError
from nisp.pruning.contract import Group, Problem
from nisp.pruning.selection import keep_plan
from nisp.pruning.surgery import anatomy
from tests.conftest import Grouped, problem


def score(name, given, **options):
    return importlib.import_module(f"baselines.{name}").score(given, **options)


def given_of(net, images, labels=None, classifier="classifier", seed=0):
    groups = anatomy(net.eval(), images[:1]).groups
    labels = torch.zeros(len(images), dtype=torch.long) if labels is None else labels
    return Problem(net, groups, keep_plan(groups, 0.5), images, labels, classifier, seed)


def two_layers(count):
    """Softmax of W2 relu(W1 x) over 70 images, more than go through at once; hidden responses and their gradients."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    images = torch.randn(count, 1, 2, 2).double()
    given = given_of(net, images, torch.randint(3, (count,)), "3")
    x = images.flatten(1).numpy()
    first, second = (net[i].weight.detach().numpy() for i in (1, 3))
    before = x @ first.T + net[1].bias.detach().numpy()
    logits = before.clip(0) @ second.T + net[3].bias.detach().numpy()
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    def gradients(labels):
        return ((chances - np.eye(3)[labels]) @ second) * (before > 0)

    return given, x, first, before, gradients


def test_taylor_of_a_network_whose_gradients_are_known():
    given, _, _, before, gradients = two_layers(70)
    expected = ((before * gradients(given.labels.numpy())) ** 2).mean(0)
    np.testing.assert_allclose(score("taylor", given)["1"], expected)


@pytest.mark.parametrize(("options", "used"), [({}, 70), ({"images": 40}, 40), ({"images": 1}, 1)])
def test_obd_c_of_a_network_whose_gradients_are_known(options, used):
    given, x, first, _, gradients = two_layers(70)
    labels = drawn_labels(given, given.images[:used]).numpy()
    squares = (gradients(np.pad(labels, (0, 70 - used)))[:used, :, None] * x[:used, None]) ** 2
    expected = (first**2 * squares.mean(0)).sum(1) / 2
    np.testing.assert_allclose(score("obd_c", given, **options)["1"], expected)


def test_labels_are_drawn_from_the_networks_own_predictions():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    net[1].weight.data.zero_()
    net[1].bias.data = torch.tensor([0.2, 0.5, 0.3]).log()
    images = torch.zeros(4000, 1, 2, 2)
    given = Problem(net.eval(), (), {}, images, torch.zeros(4000), "1", 0)
    drawn = drawn_labels(given, images)
    assert (torch.bincount(drawn) / 4000).tolist() == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    assert torch.equal(drawn, drawn_labels(given, images))
    assert not torch.equal(drawn, drawn_labels(replace(given, seed=1), images))
    net[1].weight.data[:, 0] = torch.tensor([50.0, 0, -50])
    images[:, 0, 0, 0] = torch.tensor([1.0, -1]).repeat(2000)
    assert drawn_labels(given, images).tolist() == [0, 2] * 2000, "each image has its own"


@pytest.mark.parametrize(("name", "limit"), [("chip", 64), ("hrank", 500), ("obd_c", 256)])
def test_only_so_many_images_count_as_documented(name, limit):
    """The others are ten times as bright, and a mean over them too would be another one."""
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(12, 2))
    images = torch.randn(limit + 1, 1, 2, 2)
    images[-1] *= 10
    images[-2] = torch.eye(2) * 7 + 1
    net[0].weight.data.abs_()
    one = given_of(net, images, classifier="2")
    documented = score(name, replace(one, images=images[:limit]), images=limit)["0"]
    assert torch.equal(score(name, one)["0"], documented)
    assert not torch.equal(score(name, one, images=limit + 1)["0"], documented)
    assert not torch.equal(score(name, one, images=limit - 1)["0"], documented)


class Tokens(nn.Module):
    """Rows of an image as tokens: linear layers whose channels are last."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.classifier = nn.Linear(8, 6), nn.Linear(6, 5), nn.Linear(5, 10)

    def forward(self, x):
        return self.classifier(torch.tanh(self.second(torch.relu(self.first(x.squeeze(1))))).mean(1))


@pytest.mark.parametrize(("net", "group"), [(Tokens, "first"), (Tokens, "second"), (Grouped, "first")])
def test_taylor_of_tokens_and_of_parts_is_the_derivative_by_a_factor_on_a_channel(net, group, digits):
    net = net().double().eval()
    given, _ = problem(net, digits, count=40)
    given = replace(given, images=given.images.double())
    [producer] = next(g for g in given.groups if g.name == group).producers
    found = score("taylor", given)[group]
    for channel in (0, 3):
        losses = []
        for factor in (1 + 1e-5, 1 - 1e-5):
            scaled = copy.deepcopy(net)
            with torch.no_grad():
                scaled.get_parameter(f"{group}.weight")[producer.outputs[channel]] *= factor
                scaled.get_parameter(f"{group}.bias")[producer.outputs[channel]] *= factor
                losses.append(F.cross_entropy(scaled(given.images), given.labels, reduction="none"))
        slopes = (losses[0] - losses[1]) / 2e-5
        assert found[channel].item() == pytest.approx((slopes**2).mean().item(), rel=1e-4)


def test_maps_of_tokens_are_a_channels_values_at_all_of_them(digits):
    net = Tokens().eval()
    given, _ = problem(net, digits, count=40)
    maps = torch.relu(net.second(torch.relu(net.first(given.images.squeeze(1))))).detach().double()
    drops = np.zeros(5)
    for image in maps.transpose(1, 2).numpy():  # channels, tokens
        whole = np.linalg.norm(image, "nuc")
        drops += np.array([whole - np.linalg.norm(np.delete(image, i, 0), "nuc") for i in range(5)]) / 40
    np.testing.assert_allclose(score("chip", given)["second"], drops, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(score("hrank", given)["second"], maps.any(1).double().mean(0))


class Normed(nn.Module):
    """A stem that a grouped convolution reads, both behind a batch norm."""

    def __init__(self, affine=True):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8, affine=affine)
        self.parts, self.other = nn.Conv2d(8, 6, 3, groups=2), nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 10)
        for norm in (self.norm, self.other):
            if norm.affine:
                nn.init.normal_(norm.weight)

    def forward(self, x):
        return self.classifier(torch.relu(self.other(self.parts(torch.relu(self.norm(self.stem(x)))))).mean((2, 3)))


def test_scales_of_all_outputs_that_a_channel_has_in_parts_add_up(digits):
    net = Normed()
    given, _ = problem(net.eval(), digits)
    [stem] = [group for group in given.groups if group.name == "stem"]
    pairs = stem.producers[0].outputs
    assert pairs.tolist() == [[i, i + 4] for i in range(4)]
    scale = net.norm.weight.detach()
    torch.testing.assert_close(score("bn_scale", given)["stem"], (scale[:4].abs() + scale[4:].abs()))
    written = net.stem.weight.detach().square().sum((1, 2, 3)) + scale.square()
    read = net.parts.weight.detach().square().sum((0, 2, 3))
    expected = written[:4] + written[4:] + read
    torch.testing.assert_close(score("group_norm", given)["stem"], expected.double())


def test_a_batch_norm_without_scales_is_none(digits):
    net = Normed(affine=False)
    given, _ = problem(net.eval(), digits)
    with pytest.raises(UserError, match="bn_scale cannot rank the channels of stem"):
        score("bn_scale", given)
    written, read = net.stem.weight.detach().square().sum((1, 2, 3)), net.parts.weight.detach().square().sum((0, 2, 3))
    torch.testing.assert_close(score("group_norm", given)["stem"], (written[:4] + written[4:] + read).double())


def test_random_scores_are_uniform_and_every_group_has_its_own():
    groups = tuple(Group(name, (), (), 4000) for name in "ab")
    one, other = score("random", Problem(nn.Flatten(), groups, {}, torch.zeros(1), torch.zeros(1), "", 0)).values()
    assert not torch.equal(one, other)
    for scores in (one, other):
        assert 0 <= scores.min() < 0.01 and 0.99 < scores.max() < 1
        assert scores.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist() == pytest.approx([0.25, 0.5, 0.75], abs=0.03)
