"""Budgets of multiply-accumulates on networks of a few channels, whose costs are set by hand."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nisp.errors import UserError
from nisp.pruning.budgets import TOLERANCE, LayerMacs, layer_macs, met_by_scores, met_by_share
from nisp.pruning.selection import channels_left
from nisp.pruning.surgery import anatomy


class Planned(LayerMacs):
    """Measured costs are ``fixed`` more than the estimate, or come from a list; ``asked`` tells for which channels."""

    fixed = 0
    script = None

    def measured(self, keep):
        self.asked.append(dict(keep))
        return self.script[len(self.asked) - 1] if self.script else round(self.estimated(keep)) + self.fixed


def costs(sizes, layers, writes, reads=(), base=None, **attributes):
    structure = SimpleNamespace(
        sizes=sizes, groups=[SimpleNamespace(name=name, channels=size) for name, size in sizes.items()]
    )
    kind = type("Case", (Planned,), {"asked": [], **attributes})
    return kind("a model", structure, None, base or sum(layers.values()), layers, writes, dict(reads))


def simple(**attributes):
    """A channel of a costs 12, one of b costs 4, there are four of each: 64 in all."""
    return costs({"a": 4, "b": 4}, {"x": 48, "y": 16}, {"x": {"a": 1.0}, "y": {"b": 1.0}}, **attributes)


def same_share(share):
    return {"a": round(4 * (1 - share)), "b": round(4 * (1 - share))}


def test_a_layer_costs_in_proportion_to_what_it_writes_and_reads():
    """y reads a and writes b; half of what z writes is b's, and a quarter of what it reads is a's, a quarter b's."""
    net = costs(
        {"a": 4, "b": 8},
        {"x": 100, "y": 320, "z": 640, "w": 7},
        {"x": {"a": 1.0}, "y": {"b": 1.0}, "z": {"b": 0.5}},
        {"y": {"a": 1.0}, "z": {"a": 0.25, "b": 0.25}},
    )
    assert net.sizes == {"a": 4, "b": 8} and net.estimated(net.sizes) == net.base == 1067
    left = {"a": 1, "b": 6}
    z = 640 * (1 - 0.5 / 4) * (1 - 0.25 * 3 / 4 - 0.25 / 4)
    assert net.estimated(left) == pytest.approx(25 + 320 / 4 * 3 / 4 + z + 7)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (64, {"a": 4, "b": 4}),
        (48, {"a": 3, "b": 3}),
        (44, {"a": 3, "b": 2}),  # 2 and 2 cost 32; of the 12 that are left, a channel of a takes all
        (40, {"a": 2, "b": 4}),  # of the 8 that are left, two channels of b do
        (36, {"a": 2, "b": 3}),
        (28, {"a": 2, "b": 1}),
        (16, {"a": 1, "b": 1}),
    ],
)
def test_single_channels_come_back_the_most_expensive_that_fits_first(wanted, kept):
    assert met_by_share(simple(), 1 - wanted / 64, same_share) == kept


def test_small_and_large_shares_are_found_too():
    """Of a hundred channels of each, where as many of each as asked for cost just that."""
    net = costs({"a": 100, "b": 100}, {"x": 1200, "y": 400}, {"x": {"a": 1.0}, "y": {"b": 1.0}})
    for left in (95, 50, 3):
        kept = met_by_share(net, 1 - left / 100, lambda share: dict.fromkeys("ab", round(100 * (1 - share))))
        assert kept == {"a": left, "b": left}
    tens = met_by_share(net, 0.5, lambda share: dict.fromkeys("ab", 10 * round(10 * (1 - share))))
    assert tens == {"a": 50, "b": 50}, "what costs just as much as is asked for is within"


def test_of_groups_that_stay_whole_nothing_comes_back():
    """b stays whole; so only a pays, and only a's channels come back."""
    net = costs({"a": 8, "b": 4}, {"x": 8, "y": 8}, {"x": {"a": 1.0}, "y": {"b": 1.0}})
    kept = met_by_share(net, 0.25, lambda share: {"a": 2 * round(4 * (1 - share)), "b": 4})
    assert kept == {"a": 4, "b": 4}
    assert met_by_share(net, 5 / 16, lambda share: {"a": 2 * round(4 * (1 - share)), "b": 4}) == {"a": 3, "b": 4}


def test_the_goal_moves_where_measured_and_estimated_costs_differ():
    """36 more are measured than estimated, for any channels kept: of 100 in all, 68 are asked for.

    The estimates may first cost 0.64 times 68, 43.5: 2 and 4 channels, which measure 76. So the goal moves by
    0.64 times -8 to 38.4, where 2 and 3 measure 72; then to 35.84, which leaves 2 and 2, and these measure 68.
    """
    net = simple(base=100, fixed=36)
    assert met_by_share(net, 0.32, same_share) == {"a": 2, "b": 2}
    assert net.asked == [{"a": 2, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 2}]


def fine(script):
    """1000 channels that cost 1 each, of which 500 are asked for, and what is measured one time after another."""
    net = costs({"a": 1000}, {"x": 1000}, {"x": {"a": 1.0}}, script=script)
    kept = met_by_share(net, 0.5, lambda share: {"a": round(1000 * (1 - share))})
    return kept["a"], [asked["a"] for asked in net.asked]


def test_the_search_ends_at_a_tenth_of_the_tolerance_or_after_six_measurements():
    """The tolerance is 5. Each time the goal moves by what is missing, and the nearest of all is what counts."""
    assert TOLERANCE == 0.005
    assert fine([503, 496, 500.5, 0]) == (501, [500, 497, 501])
    assert fine([499.5, 0]) == (500, [500])
    assert fine([499.4, 503, 504, 503, 504, 504, 0]) == (500, [500, 500, 497, 493, 490, 486])
    assert fine([504, 505, 505, 503, 504, 505, 0])[0] == 486
    assert fine([504, 505, 503, 503, 504, 505, 0])[0] == 491, "of two that are as near, the first"
    assert fine([499, 490, 506, 506, 506, 506, 0])[0] == 500, "10 below is further off than 1 below"
    assert fine([506, 506, 506, 506, 506, 505, 0])[0] == 470


def test_a_budget_that_is_missed_by_more_than_the_tolerance_is_reported():
    with pytest.raises(UserError, match=r"no channel counts of str leave 50 % of its MACs: the nearest leave 49\.4 %$"):
        fine([494, 507, 506, 506, 506, 506, 494])
    with pytest.raises(UserError, match=r"leave 10 % of its MACs: the nearest leave 25\.0 %"):
        met_by_share(simple(), 0.9, lambda share: {name: max(1, kept) for name, kept in same_share(share).items()})


SCORES = {"a": torch.tensor([0.9, 0.1, 0.5, 0.3]), "b": torch.tensor([0.2, 0.8, 0.7, 0.6])}


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (64, {"a": 4, "b": 4}),
        (52, {"a": 3, "b": 4}),  # 0.1 of a is the least
        (48, {"a": 3, "b": 3}),  # 0.2 of b
        (36, {"a": 2, "b": 3}),  # 0.3 of a
        (24, {"a": 1, "b": 3}),  # 0.5 of a
        (20, {"a": 1, "b": 2}),  # 0.6 of b
        (16, {"a": 1, "b": 1}),  # 0.7 of b; one channel of each stays
        (40, {"a": 2, "b": 4}),  # 36 is the first within, and a channel of b comes back
    ],
)
def test_channels_go_in_the_order_of_their_scores_whatever_their_layer(wanted, kept):
    assert met_by_scores(simple(), 1 - wanted / 64, SCORES, floor=0.0) == kept


def test_no_channel_more_goes_than_has_to():
    """Both cost 4 a channel; c's 0.05 goes, then three of b, then c's 0.8 and 0.9: every budget is met just so."""
    net = costs({"c": 4, "b": 4}, {"x": 16, "y": 16}, {"x": {"c": 1.0}, "y": {"b": 1.0}})
    scores = {"c": torch.tensor([0.05, 0.9, 0.8, 0.95]), "b": torch.tensor([0.1, 0.2, 0.7, 0.6])}
    for gone, (c, b) in enumerate([(3, 4), (3, 3), (3, 2), (3, 1), (2, 1), (1, 1)], start=1):
        assert met_by_scores(net, 4 * gone / 32, scores, floor=0.0) == {"c": c, "b": b}


def test_groups_without_scores_stay_whole():
    sizes, layers = {"a": 4, "b": 4, "c": 4}, {"x": 48, "y": 16, "z": 64}
    net = costs(sizes, layers, {"x": {"a": 1.0}, "y": {"b": 1.0}, "z": {"c": 1.0}})
    assert met_by_scores(net, 28 / 128, SCORES, floor=0.0) == {"a": 2, "b": 3, "c": 4}
    assert met_by_scores(net, 24 / 128, SCORES, floor=0.0) == {"a": 2, "b": 4, "c": 4}


@pytest.mark.parametrize(
    ("floor", "least"),
    [(0.0, {"a": 1, "b": 1}), (0.5, {"a": 2, "b": 2}), (0.75, {"a": 3, "b": 3}), (0.6, {"a": 2, "b": 2})],
)
def test_the_floor_of_each_group_stays_rounded_to_whole_channels(floor, least):
    smallest = 12 * least["a"] + 4 * least["b"]
    assert met_by_scores(simple(), 1 - smallest / 64, SCORES, floor) == least
    with pytest.raises(UserError, match=rf"the nearest leave {100 * smallest / 64:.1f} %"):
        met_by_scores(simple(), 1 - (smallest - 4) / 64, SCORES, floor)


class Called(nn.Conv2d):
    """A layer of its own type, in a network that calls another one as a function."""

    def forward(self, x):
        return F.conv2d(F.pad(x, [1, 1, 1, 1]), self.weight, self.bias)


class Net(nn.Module):
    """Layers of their own type, one that is called as a function, convolutions over a line, and attention."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Called(3, 60, 3), nn.Conv2d(60, 50, 1)
        self.line, self.last = nn.Conv1d(50, 40, 3), nn.Conv1d(40, 8, 1)
        self.classifier = nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(F.conv2d(self.first(x), self.second.weight, self.second.bias))
        x = self.last(F.relu(self.line(x.flatten(2)))).transpose(1, 2)
        x = F.scaled_dot_product_attention(x, x, x)
        return self.classifier(x.mean(1))


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.7])
def test_networks_of_all_kinds_of_layers_meet_their_budget(ratio):
    """Attention on 62 positions costs the same however many channels are left before it."""
    net, example = Net().eval(), torch.randn(1, 3, 8, 8)
    structure = anatomy(net, example)
    layers = layer_macs(net, structure)
    assert layers.macs == {
        "first": 64 * 60 * 27, "second": 64 * 50 * 60, "line": 62 * 40 * 150, "last": 62 * 320, "": 2 * 62 * 62 * 8,
        "classifier": 24,
    }  # fmt: skip
    assert layers.base == sum(layers.macs.values()) == layers.estimated(structure.sizes)
    keep = met_by_share(layers, ratio, lambda share: {n: channels_left(s, share) for n, s in structure.sizes.items()})
    left = layers.measured(keep)
    assert left == pytest.approx(layers.estimated(keep)) and abs(left / layers.base - (1 - ratio)) <= TOLERANCE


def test_a_network_without_products_and_a_wrong_ratio_are_refused():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 2))
    structure = anatomy(net, torch.zeros(1, 3, 8, 8))
    with pytest.raises(UserError, match="Sequential has no convolution or matrix product, so it has no budget of MACs"):
        layer_macs(net, structure, lambda *_: 0)
    for ratio in (1.0, -0.1, "half"):
        with pytest.raises(UserError, match=r"the ratio of MACs is .*: it must be at least 0 and less than 1"):
            met_by_share(simple(), ratio, same_share)
        with pytest.raises(UserError, match="the ratio of MACs is"):
            met_by_scores(simple(), ratio, {"a": torch.ones(4)}, 0.1)
