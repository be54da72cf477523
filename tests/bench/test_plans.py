"""Plans: how many channels stay, by layer and by budget."""

import copy

import pytest
import torch

from bench.budget import TOLERANCE, costs
from bench.errors import UserError
from bench.measure import cost
from bench.plans import channels_to_keep
from bench.specs import PlanSpec
from bench.surgery import anatomy, keep_plan, prune
from tests.conftest import build

EXAMPLE = torch.zeros(1, 1, 8, 8)


def parts_of(name, depth):
    model = build(name, depth)
    return model, anatomy(model, EXAMPLE)


def test_the_uniform_plan_takes_the_ratio_of_every_group():
    model, parts = parts_of("resnet", 8)
    assert channels_to_keep(PlanSpec(), 0.3, model, parts) == keep_plan(parts.groups, 0.3)


def test_factors_by_layer_the_last_pattern_counts():
    model, parts = parts_of("plain", 6)
    names = [group.name for group in parts.groups]
    plan = PlanSpec(layers={"*": 0.5, names[1]: 1.0, names[2]: 0.0})
    keep = channels_to_keep(plan, 0.5, model, parts)
    sizes = {group.name: group.channels for group in parts.groups}
    assert keep[names[0]] == 0.75 * sizes[names[0]]
    assert keep[names[1]] == 0.5 * sizes[names[1]] and keep[names[2]] == sizes[names[2]]


def test_a_pattern_without_a_layer_is_told():
    model, parts = parts_of("lenet", None)
    with pytest.raises(UserError, match="'conv9'"):
        channels_to_keep(PlanSpec(layers={"conv9": 1.0}), 0.5, model, parts)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
@pytest.mark.parametrize(("name", "depth"), [("lenet", None), ("plain", 6), ("resnet", 14)])
@pytest.mark.parametrize("allocation", ["uniform", "scores"])
def test_a_budget_of_macs_is_met_by_the_pruned_network(name, depth, ratio, allocation):
    model, parts = parts_of(name, depth)
    generator = torch.Generator().manual_seed(1)
    scores = {g.name: torch.rand(g.channels, generator=generator) * 10**i for i, g in enumerate(parts.groups)}
    keep = channels_to_keep(PlanSpec(budget="macs", allocation=allocation), ratio, model, parts, lambda: scores)
    pruned = prune(model, parts, {name: torch.arange(count) for name, count in keep.items()})
    base = cost(model, EXAMPLE).macs
    assert abs(cost(pruned, EXAMPLE).macs - (1 - ratio) * base) <= TOLERANCE * base


def test_scores_decide_which_layers_lose_more_and_the_floor_holds():
    model, parts = parts_of("plain", 6)
    scores = {group.name: torch.linspace(1, 2, group.channels) for group in parts.groups}
    first = parts.groups[0].name
    scores[first][: len(scores[first]) // 2] = 1e-6  # half of the first layer is worth nothing
    plan = PlanSpec(budget="macs", allocation="scores", floor=0.25)
    keep = channels_to_keep(plan, 0.3, model, parts, lambda: scores)
    shares = {group.name: keep[group.name] / group.channels for group in parts.groups}
    assert shares[first] == 0.5
    tight = channels_to_keep(plan, 0.85, model, parts, lambda: scores)
    assert all(tight[group.name] >= 0.25 * group.channels for group in parts.groups)
    with pytest.raises(UserError, match="as near as they come"):
        channels_to_keep(plan, 0.97, model, parts, lambda: scores)


def test_estimates_are_the_multiplications_of_the_pruned_network():
    from bench.multiplications import multiplications

    model, parts = parts_of("resnet", 8)
    keep = keep_plan(parts.groups, 0.4)
    pruned = prune(copy.deepcopy(model), parts, {name: torch.arange(count) for name, count in keep.items()})
    assert costs(model, parts).estimated(keep) == pytest.approx(sum(multiplications(pruned, EXAMPLE).values()))


def test_plans_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="needs the budget macs"):
        PlanSpec(allocation="scores")
    with pytest.raises(ValueError, match="is unknown"):
        PlanSpec(budget="macs", allocation="nonsense")
    assert PlanSpec(budget="macs", allocation="nisp").by_scores
