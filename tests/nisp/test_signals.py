"""Levels and growth: the powers of two that keep scores in range, and the estimates that choose them."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nisp
import nisp.rules  # fills the table of gains
from nisp.absolute import Pass, Response, hollow
from nisp.signals import Signal, grown, undivided
from nisp.table import GAINS


def signal(growth=0.0, level=0):
    return Signal(torch.zeros(()), growth, level)


@pytest.mark.parametrize(
    ("sources", "gain", "expected"),
    [
        ([(10, 0)], 4.0, (12, 0)),
        ([(3, 0), (3, 0)], 1.0, (4, 0)),
        ([(3, 0), (1, 0)], 2.0, (1 + math.log2(8 + 2), 0)),
        ([(63.5, 0)], 1.0, (63.5, 0)),
        ([(63, 0)], 2.0, (64, 64)),
        ([(130, 64)], 2.0, (131, 128)),
        ([(100, 64)], 2.0**27, (127, 64)),
        ([(200, 64), (10, 192)], 1.0, (200, 192)),
        ([(100, 64)], 2.0**-60, (40, 64)),
        ([(5, 0)], math.inf, (5, 0)),
        ([(5, 0)], math.nan, (5, 0)),
        ([(5, 64)], 0.0, (-math.inf, 64)),
        ([(-math.inf, 64)], 2.0, (-math.inf, 64)),
    ],
)
def test_growth_adds_up_and_levels_follow_in_steps_of_64_bits(sources, gain, expected):
    growth, level = grown([signal(*source) for source in sources], gain)
    assert growth == pytest.approx(expected[0], abs=1e-9) and level == expected[1]


@pytest.mark.parametrize(
    ("levels", "final", "powers"),
    [
        ([0, 64], 128, [128, 64]),
        ([192], 128, [-64]),
        ([0, 64], 900, [900, 836]),
        ([0, 64], 960, [900, 836]),
        ([], 960, []),
    ],
)
def test_scores_are_undivided_up_to_two_to_the_900(levels, final, powers):
    assert undivided([signal(level=level) for level in levels], final) == [2.0**power for power in powers]


def constant(*shape):
    return torch.full(shape, -0.25, dtype=torch.float64)


STATISTICS = (torch.zeros(4).double(), torch.full((4,), 3.0).double())
CALLS = {
    F.linear: (lambda f, x: f(x[0, 0], constant(20, 6)), 20 / 4),
    F.conv1d: (lambda f, x: f(x[0], constant(20, 6, 2), stride=2), 20 / 4),
    F.conv2d: (lambda f, x: f(x, constant(20, 2, 3, 2), None, (3, 2), groups=2), 20 / 2 / 4),
    F.conv3d: (lambda f, x: f(x[None], constant(20, 1, 2, 3, 1), None, (2, 3, 1)), 20 / 4),
    F.conv_transpose1d: (lambda f, x: f(x[0], constant(6, 20, 3)), 3 * 20 / 4),
    F.conv_transpose2d: (lambda f, x: f(x, constant(4, 5, 3, 2), groups=2), 6 * 5 / 4),
    F.conv_transpose3d: (lambda f, x: f(x[None], constant(1, 5, 3, 2, 1)), 6 * 5 / 4),
    F.batch_norm: (lambda f, x: f(x, *STATISTICS, eps=1.0), 0.5),
    torch.batch_norm: (lambda f, x: f(x, None, None, *STATISTICS, False, 0.1, 1.0, False), 0.5),
    **{f: (lambda f, x: f(x * 1, -3), 3.0) for f in GAINS if "mul" in f.__name__ and "rmul" not in f.__name__},
    torch.Tensor.__rmul__: (lambda f, x: f(x, constant(6)), 0.25),
}  # fmt: skip
"""Functions that multiply scores, a call on (1, 4, 6, 6), and the mean gain from its output to an input."""


@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
def test_the_estimated_gain_is_the_mean_of_the_scores(function):
    call, gain = CALLS[function]
    x = torch.rand(1, 4, 6, 6).double()
    source = Signal(hollow(x).detach().requires_grad_())
    with torch.no_grad():
        output = call(function, Response.of(x, source, Pass(measuring=True)))
    assert output.signal.growth == pytest.approx(math.log2(gain), abs=1e-4)


def test_all_functions_that_multiply_have_their_gain_checked():
    assert CALLS.keys() == GAINS.keys()


class Forks(nn.Module):
    """Two long paths and a short one, whose scores differ by many powers of two."""

    def __init__(self):
        super().__init__()
        self.stem, self.long, self.longer, self.short = (nn.Linear(1, 1) for _ in range(4))
        self.classifier = nn.Linear(1, 1)

    def forward(self, x):
        x = self.stem(x)
        return self.classifier(self.longer(self.long(x)) + self.long(x) + self.short(x))


def test_paths_at_different_levels_add_up_exactly():
    model = Forks()
    for layer, power in ((model.long, 69), (model.longer, 1), (model.short, 30)):
        layer.weight = nn.Parameter(torch.tensor([[-(2.0**power)]]))
    found = nisp.scores(model, torch.ones(1, 1), frl_scores=torch.ones(1))
    assert found["stem"].tolist() == [2.0**70 + 2.0**69 + 2.0**30]
    assert found["long"].tolist() == [2.0 + 1.0] and found["longer"].tolist() == [1.0]


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.far, self.near = nn.Linear(2, 2), nn.Linear(2, 3), nn.Linear(2, 3)

    def forward(self, x):
        x = self.body(x)
        return self.near(x) + self.far(x * 2.0**70)


@pytest.mark.parametrize("order", [("near", "far"), ("far", "near")])
def test_heads_at_different_levels_add_up_exactly(order):
    scores = {"near": torch.tensor([1.0, 5.0]), "far": torch.tensor([3.0, 1.0]) * 2.0**-70}
    frl = torch.cat([scores[name] for name in order])
    found = nisp.scores(Heads(), torch.ones(1, 2), frl_scores=frl, classifier=order)
    assert found["body"].tolist() == [4.0, 6.0]


@pytest.mark.parametrize("powers", [(300.0, 290.0), (-300.0, -310.0), (300.0, -900.0)])
def test_single_precision_networks_take_scores_of_any_size(powers):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(2, 2))
    frl = torch.tensor(powers, dtype=torch.float64).exp2()
    found = nisp.scores(model, torch.zeros(1, 2), frl_scores=frl)["0"]
    expected = model[1].weight.detach().double().abs().T @ frl
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
