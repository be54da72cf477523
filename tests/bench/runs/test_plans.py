"""Plans: how many channels stay, by layer and by budget."""

import copy

import pytest
import torch

from bench.runs.plans import channels_to_keep
from bench.runs.size import macs_of, size_of
from bench.suite.specs import PlanSpec
from nisp.errors import UserError
from nisp.pruning import budgets
from nisp.pruning.budgets import TOLERANCE, layer_macs
from nisp.pruning.multiplications import multiplications
from nisp.pruning.selection import keep_plan
from nisp.pruning.surgery import anatomy, remove_channels
from tests.conftest import Grouped, build

EXAMPLE = torch.zeros(1, 1, 8, 8)


def structure_of(name, depth):
    model = build(name, depth)
    return model, anatomy(model, EXAMPLE)


@pytest.mark.parametrize(
    ("ratio", "nearest", "down"),
    [
        (0.3, {16: 11, 32: 22, 64: 45}, {16: 11, 32: 22, 64: 44}),  # of 11.2, 22.4 and 44.8
        (0.28125, {16: 12, 32: 23, 64: 46}, {16: 11, 32: 23, 64: 46}),  # of 11.5, 23 and 46
        (0.9, {16: 2, 32: 3, 64: 6}, {16: 1, 32: 3, 64: 6}),  # of 1.6, 3.2 and 6.4
        (0.99, {16: 1, 32: 1, 64: 1}, {16: 1, 32: 1, 64: 1}),
    ],
)
def test_the_uniform_plan_takes_the_ratio_of_every_group(ratio, nearest, down):
    model, structure = structure_of("resnet", 8)
    sizes = {
        "conv": 16, "blocks.0.conv1": 16, "blocks.1.conv1": 32, "blocks.1.conv2": 32, "blocks.2.conv1": 64,
        "blocks.2.conv2": 64,
    }  # fmt: skip
    for rounding, left in (("nearest", nearest), ("down", down)):
        keep = channels_to_keep(PlanSpec(rounding=rounding), ratio, model, structure)
        assert keep == {name: left[size] for name, size in sizes.items()}


def test_a_share_that_floating_point_puts_just_below_a_whole_number_is_that_number():
    """50 channels of which a tenth goes: 50 * (1 - 0.1) is 45."""
    model, structure = structure_of("lenet", None)
    assert channels_to_keep(PlanSpec(rounding="down"), 0.1, model, structure) == {"0": 18, "3": 45, "7": 90}


def test_factors_by_layer_the_last_pattern_counts():
    model, structure = structure_of("plain", 6)
    names = [group.name for group in structure.groups]
    plan = PlanSpec(layers={"*": 0.5, names[1]: 1.0, names[2]: 0.0})
    keep = channels_to_keep(plan, 0.5, model, structure)
    sizes = {group.name: group.channels for group in structure.groups}
    assert keep[names[0]] == 0.75 * sizes[names[0]]
    assert keep[names[1]] == 0.5 * sizes[names[1]] and keep[names[2]] == sizes[names[2]]


def test_a_group_takes_the_factor_of_any_of_its_layers_and_of_none_it_stays_whole():
    """conv and blocks.0.conv2 write the same channels, which are added up."""
    model, structure = structure_of("resnet", 8)
    whole = channels_to_keep(PlanSpec(layers={"*": 0.0}), 0.5, model, structure)
    assert whole == {group.name: group.channels for group in structure.groups}
    keep = channels_to_keep(PlanSpec(layers={"blocks.0.conv2": 0.5, "blocks.2.c*": 1.0}), 0.5, model, structure)
    assert keep == whole | {"conv": 12, "blocks.2.conv1": 32, "blocks.2.conv2": 32}
    assert channels_to_keep(PlanSpec(layers={"conv": 1.0, "blocks.0.conv2": 0.5}), 0.5, model, structure)["conv"] == 12
    assert channels_to_keep(PlanSpec(layers={"blocks.0.conv2": 0.5, "conv": 1.0}), 0.5, model, structure)["conv"] == 8


def test_a_pattern_without_a_layer_is_told():
    model, structure = structure_of("lenet", None)
    with pytest.raises(UserError, match="'conv9'"):
        channels_to_keep(PlanSpec(layers={"conv9": 1.0}), 0.5, model, structure)


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.8])
@pytest.mark.parametrize(("name", "depth"), [("lenet", None), ("plain", 6), ("resnet", 14)])
@pytest.mark.parametrize("allocation", ["uniform", "scores"])
def test_a_budget_of_macs_is_met_by_the_pruned_network(name, depth, ratio, allocation):
    model, structure = structure_of(name, depth)
    generator = torch.Generator().manual_seed(1)
    scores = {g.name: torch.rand(g.channels, generator=generator) * 10**i for i, g in enumerate(structure.groups)}
    keep = channels_to_keep(PlanSpec(budget="macs", allocation=allocation), ratio, model, structure, lambda: scores)
    pruned = remove_channels(model, structure, {name: torch.arange(count) for name, count in keep.items()})
    base = size_of(model, EXAMPLE).macs
    assert abs(size_of(pruned, EXAMPLE).macs - (1 - ratio) * base) <= TOLERANCE * base


def test_scores_decide_which_layers_lose_more_and_the_floor_holds():
    model, structure = structure_of("plain", 6)
    scores = {group.name: torch.linspace(1, 2, group.channels) for group in structure.groups}
    first = structure.groups[0].name
    scores[first][: len(scores[first]) // 2] = 1e-6  # half of the first layer is worth nothing
    plan = PlanSpec(budget="macs", allocation="scores", floor=0.25)
    keep = channels_to_keep(plan, 0.3, model, structure, lambda: scores)
    shares = {group.name: keep[group.name] / group.channels for group in structure.groups}
    assert shares[first] == 0.5
    tight = channels_to_keep(plan, 0.85, model, structure, lambda: scores)
    assert all(tight[group.name] >= 0.25 * group.channels for group in structure.groups)
    with pytest.raises(UserError, match="the nearest leave"):
        channels_to_keep(plan, 0.97, model, structure, lambda: scores)


def test_an_allocation_is_given_scores_over_their_layers_mean_of_layers_with_a_factor(monkeypatch):
    """The mean is that of magnitudes; where it is zero, scores stay as they are. Layers with factor 0 take no part."""
    model, structure = structure_of("lenet", None)
    asked = {}

    def met_by_scores(costs, ratio, scores, floor):
        asked.update(scores=scores, ratio=ratio, floor=floor)
        return "found"

    monkeypatch.setattr(budgets, "met_by_scores", met_by_scores)
    values = [0.3, -0.1, 0.7, 0.2] * 5
    scores = {"0": torch.tensor(values), "3": torch.zeros(50), "7": torch.ones(100)}
    plan = PlanSpec(budget="macs", allocation="scores", floor=0.2, layers={"*": 1.0, "7": 0.0})
    assert channels_to_keep(plan, 0.4, model, structure, lambda: scores) == "found"
    assert set(asked["scores"]) == {"0", "3"} and (asked["ratio"], asked["floor"]) == (0.4, 0.2)
    single = scores["0"].tolist()
    mean = sum(map(abs, single)) / 20
    assert asked["scores"]["0"].tolist() == pytest.approx([value / mean for value in single], rel=1e-12)
    assert asked["scores"]["3"].tolist() == [0.0] * 50


def test_an_allocation_that_is_uniform_asks_for_no_scores():
    """Every layer keeps about the root of the share of MACs that stays."""
    model, structure = structure_of("plain", 6)
    keep = channels_to_keep(PlanSpec(budget="macs"), 0.5, model, structure)
    assert all(abs(keep[group.name] / group.channels - 0.5**0.5) < 0.1 for group in structure.groups)


def test_layers_with_factor_0_stay_whole_when_a_budget_is_shared_out():
    model, structure = structure_of("plain", 6)
    scores = {group.name: torch.linspace(1, 2, group.channels) for group in structure.groups}
    whole = {group.name: group.channels for group in structure.groups[:2]}
    for allocation in ("scores", "uniform"):
        layers = {"*": 1.0, **dict.fromkeys(whole, 0.0)}
        plan = PlanSpec(budget="macs", allocation=allocation, layers=layers)
        keep = channels_to_keep(plan, 0.4, model, structure, lambda: scores)
        assert {name: keep[name] for name in whole} == whole
        assert all(keep[group.name] < group.channels for group in structure.groups[2:])


def test_shares_and_costs_of_layers_behind_a_flatten_and_in_parts():
    """A linear layer reads nine positions of each channel; a grouped convolution reads and writes its own."""
    model = Grouped()
    structure = anatomy(model, torch.zeros(1, 1, 8, 8))
    found = layer_macs(model, structure, macs_of)
    assert found.base == size_of(model, torch.zeros(1, 1, 8, 8)).macs
    for shares in (*found.writes.values(), *found.reads.values()):
        assert sum(shares.values()) == pytest.approx(1)
    assert found.macs == {"first": 36 * 8 * 9, "parts": 16 * 6 * 4 * 9, "depthwise": 16 * 6 * 9, "last": 16 * 4 * 6,
                            "classifier": 40}  # fmt: skip


def test_estimates_are_the_multiplications_of_the_pruned_network():
    model, structure = structure_of("resnet", 8)
    keep = keep_plan(structure.groups, 0.4)
    pruned = remove_channels(
        copy.deepcopy(model), structure, {name: torch.arange(count) for name, count in keep.items()}
    )
    assert layer_macs(model, structure, macs_of).estimated(keep) == pytest.approx(
        sum(multiplications(pruned, EXAMPLE).values())
    )


def test_plans_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="needs budget: macs"):
        PlanSpec(allocation="scores")
    with pytest.raises(ValueError, match="is unknown"):
        PlanSpec(budget="macs", allocation="nonsense")
    assert PlanSpec(budget="macs", allocation="nisp").by_scores
