"""Simulated questions: verdicts are wrong as rarely as promised, intervals cover, and effects are found.

The bounds leave three standard errors of the simulation. Measured rates are in docs/verdicts.md.
"""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from bench.answers.decisions import LEVEL, decide
from bench.answers.families import corrected
from bench.answers.seeds import POWER, seeds_needed
from bench.answers.statistics import stratified

DESIGNS = {
    "2 settings, one ten times as noisy, 5 seeds": ((5, 5), (1, 10)),
    "3 settings, 5 seeds": ((5, 5, 5), (1, 3, 10)),
    "3 settings, the noisiest with the fewest of 5, 8 and 32 seeds": ((5, 8, 32), (5, 2, 1)),
    "5 settings, 8 seeds": ((8,) * 5, (1, 2, 3, 4, 5)),
    "9 settings, 5 seeds": ((5,) * 9, (1, 2, 3, 4, 5, 6, 7, 8, 9)),
    "3 settings, 32 seeds": ((32,) * 3, (1, 3, 10)),
}
"""Number of seeds, and standard deviation over seeds, of each setting."""
QUICK = "3 settings, the noisiest with the fewest of 5, 8 and 32 seeds"
ROWS = 4
"""Comparisons of a question; they have the subject in common, so half of their variance."""


def draw(rng, seeds, spreads, rows=ROWS):
    """Differences without any effect, for each row a list of settings."""
    found = [[] for _ in range(rows)]
    for count, spread in zip(seeds, spreads, strict=True):
        subject = rng.standard_normal(count)
        for row in found:
            row.append(spread * (subject + rng.standard_normal(count)) / sqrt(2))
    return found


def decided(estimates, margin, null=0.0):
    """The verdicts of one family of rows; all differences and equivalences are corrected together."""
    p_values = corrected([(e.p_differs(null), e.p_within(margin)) for e in estimates])
    return [
        decide(e.low, e.high, p_differs, null, p_within, margin).verdict
        for e, (p_differs, p_within) in zip(estimates, p_values, strict=True)
    ]


def moved(estimate, effect):
    """The estimate if every difference were larger by ``effect``: nothing else changes."""
    return replace(estimate, mean=estimate.mean + effect, low=estimate.low + effect, high=estimate.high + effect)


def error_rates(seeds, spreads, questions):
    """Shares of questions with a wrong verdict, by what is true; and the share of intervals that cover."""
    rng = np.random.default_rng(0)
    error = sqrt(sum(s**2 / n for n, s in zip(seeds, spreads, strict=True))) / len(seeds)
    wrong = {"no effect": 0, "effects of the margin": 0, "half and half": 0}
    covered = 0
    for number in range(questions):
        estimates = [stratified(row, seed=number, resamples=999) for row in draw(rng, seeds, spreads)]
        covered += sum(e.low <= 0 <= e.high for e in estimates)
        margin = 3.3 * error
        for truth, effects in zip(wrong, ((0,) * ROWS, (margin,) * ROWS, (0, margin) * (ROWS // 2)), strict=True):
            verdicts = decided([moved(e, effect) for e, effect in zip(estimates, effects, strict=True)], margin)
            right = [("equivalent", "open") if effect == 0 else ("supported", "open") for effect in effects]
            wrong[truth] += any(verdict not in allowed for verdict, allowed in zip(verdicts, right, strict=True))
    return {truth: count / questions for truth, count in wrong.items()}, covered / questions / ROWS


def check(design, questions):
    wrong, covered = error_rates(*DESIGNS[design], questions)
    allowed = 3 * sqrt(LEVEL * (1 - LEVEL) / questions)
    print(design, wrong, covered)
    for truth, rate in wrong.items():
        assert rate <= LEVEL + allowed, truth
    assert abs(covered - (1 - LEVEL)) <= allowed


def test_five_per_cent_of_questions_at_most_have_a_wrong_verdict():
    check(QUICK, 300)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_five_per_cent_of_questions_at_most_have_a_wrong_verdict_in_every_design(design):
    check(design, 2000)


PROMISES = {
    "a difference": {"mean": 2.0, "spreads": (1, 3, 4), "null": 0.0, "margin": 1.0, "rows": 1},
    "a difference among six rows": {"mean": -1.5, "spreads": (2, 2, 6), "null": 0.0, "margin": 1.0, "rows": 6},
    "equivalence": {"mean": 0.0, "spreads": (1, 2, 3), "null": 0.0, "margin": 1.0, "rows": 1},
    "equivalence of a small difference among six rows": {
        "mean": 0.3, "spreads": (1, 1, 2), "null": 0.0, "margin": 1.0, "rows": 6
    },
    "noninferiority": {"mean": 0.0, "spreads": (2, 3), "null": -1.0, "margin": None, "rows": 3},
}  # fmt: skip


def share_decided(case, repetitions):
    """With as many seeds as are said to be needed; the other rows of the family never leave it."""
    count = seeds_needed(present=4, **case)
    rng, found = np.random.default_rng(1), 0
    for number in range(repetitions):
        settings = [case["mean"] + spread * rng.standard_normal(count) for spread in case["spreads"]]
        estimate = stratified(settings, seed=number, resamples=999)
        p_differs = min(1.0, case["rows"] * estimate.p_differs(case["null"]))
        p_within = None if case["margin"] is None else min(1.0, case["rows"] * estimate.p_within(case["margin"]))
        verdict = decide(estimate.low, estimate.high, p_differs, case["null"], p_within, case["margin"] or 1.0).verdict
        found += verdict != "open"
    return count, found / repetitions


@pytest.mark.parametrize("case", PROMISES.values(), ids=PROMISES)
def test_as_many_seeds_as_are_said_to_be_needed_decide_in_four_of_five_repetitions(case):
    """Up to 5 points of what the formulas simplify, and three standard errors."""
    count, share = share_decided(case, 600)
    print(count, share)
    assert abs(share - POWER) <= 0.05 + 3 * sqrt(POWER * (1 - POWER) / 600)
