"""The penalties that Lasso tries, by closed formula where channels do not overlap, and its front-to-back option."""

import copy
import importlib
from dataclasses import replace

import pytest
import torch

from baselines.lasso import selection, system
from bench.contract import kept_channels, silence
from bench.patches import sampled_rows
from tests.baselines.test_thinet import solved_again
from tests.conftest import build, problem

SIZES = (2.0, 5.0, 1.0, 4.0)
"""Squared lengths of parts that are orthogonal: a weight is then (moment - penalty) / size, and 0 below."""

PATHS = {
    # moments and sizes, channels to keep -> the penalty at which the search ends, relative to the largest moment
    "doubled from a thousandth to 0.256 and 0.512, then halfway": ((8.0, 4, 2, 1), SIZES, 2, 1e-3 * 2**8.5),
    "doubled beyond the largest, then halfway": ((8.0, 4, 2, 1), SIZES, 1, 1e-3 * 2**9.5),
    "halfway between a thousandth and a millionth": ((1.0, 5e-4, 5e-4, 0), SIZES, 3, 10**-4.5),
    "a quarter from the lower end": ((1.0, 1e-5, 0, 0), SIZES, 2, 10**-5.25),
}


def diagonal(sizes):
    return torch.diag(torch.tensor(sizes).double())


@pytest.mark.parametrize("path", PATHS)
def test_the_search_for_a_penalty_where_weights_are_known_in_closed_form(path):
    moments, sizes, keep, penalty = PATHS[path]
    moments = torch.tensor(moments).double()
    expected = (moments - penalty * moments.max()).clamp_min(0) / torch.tensor(sizes).double()
    assert expected.count_nonzero() == keep
    torch.testing.assert_close(selection(diagonal(sizes), moments, keep), expected, rtol=1e-6, atol=1e-12)


def test_the_search_is_narrowed_down_from_either_side():
    """Between 2.05 and 2.1 of 8: too many are left at 0.256, too few at 0.362, and so on."""
    found = selection(diagonal(SIZES), torch.tensor([8.0, 2.1, 2.05, 0]).double(), 2)
    assert found.nonzero()[:, 0].tolist() == [0, 1]
    assert 2.05 <= 8 - found[0] * SIZES[0] < 2.1


def test_where_channels_vanish_together_the_weights_are_those_just_before():
    """Keeping 2 of 8, 4, 4, 1: at a penalty of 4 two go at once, so the search ends just below with 3 left."""
    moments = torch.tensor([8.0, 4, 4, 1]).double()
    found = selection(diagonal(SIZES), moments, 2)
    assert found.nonzero()[:, 0].tolist() == [0, 1, 2]
    assert (8 - found[0] * SIZES[0]).item() == pytest.approx(4, rel=1e-4)


def test_where_too_few_ever_count_the_weights_are_those_at_the_smallest_penalty():
    found = selection(diagonal(SIZES), torch.tensor([1.0, 0, 0, 0]).double(), 3)
    assert found.tolist() == pytest.approx([0.5, 0, 0, 0], abs=1e-5)


def test_negative_weights_count_as_much_and_the_scale_of_the_system_does_not_matter():
    moments = torch.tensor([-8.0, 4, 2, 1]).double()
    found = selection(diagonal(SIZES), moments, 2)
    assert found.sign().tolist() == [-1, 1, 0, 0]
    assert found[0].item() == pytest.approx(-8 * (1 - 1e-3 * 2**8.5) / SIZES[0])
    torch.testing.assert_close(selection(1e9 * diagonal(SIZES), 1e9 * moments, 2), found)


@pytest.mark.parametrize(("size", "counts"), [(1e-11, True), (1e-13, False)])
def test_directions_in_which_parts_hardly_vary_are_left_out(size, counts):
    """What is a trillionth of the largest or less is rounding, and would otherwise take any weight."""
    found = selection(diagonal((1.0, size, 0.5)), torch.tensor([1.0, 0.5 * size**0.5, 0]).double(), 2)
    assert (found[0] > 0) and (found[1] > 0) == counts and found[2] == 0


@pytest.mark.parametrize("refits", [False, True])
def test_each_group_is_weighed_on_what_is_left_and_solved_again(refits, digits):
    net = build("plain", 4).double()
    given, _ = problem(net, digits, count=40)
    given = replace(given, images=given.images.double())
    scores = importlib.import_module("baselines.lasso").score(given, refit_layers=refits)
    present = copy.deepcopy(net)
    for group in given.groups:
        layers = tuple(consumer.name for consumer in group.consumers)
        targets, rows = (sampled_rows(model, layers, given.images, 0) for model in (net, present))
        expected = selection(*system(present, group, rows, targets), given.keep[group.name]).abs()
        torch.testing.assert_close(scores[group.name], expected, rtol=1e-3, atol=1e-5)
        kept = kept_channels(scores[group.name], given.keep[group.name])
        silence(present, group, kept)
        for consumer in group.consumers if refits else ():
            solved_again(present, net, consumer.name, consumer.inputs[kept].flatten(), given.images)
