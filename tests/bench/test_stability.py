"""Kendall's tau between rankings, counted by hand: of n methods, n (n - 1) / 2 pairs agree or do not."""

import pandas as pd
import pytest

from bench.stability import stability

FOUR = {"a": 4, "b": 3, "c": 2, "d": 1}
SWAPPED = {"a": 3, "b": 4, "c": 2, "d": 1}
"""One pair of six turned round: tau is (5 - 1) / 6."""
TURNED = {"a": 1, "b": 2, "c": 3, "d": 4}


def rows(scores, **columns):
    """One run a method, its final accuracy its score."""
    shared = {"dataset": "digits", "model": "lenet", "depth": None, "seed": 0, "plan": "uniform", "ratio": 0.5}
    shared |= {"reconstruction": "none", "recovery": "none", "steps": 1}
    return [
        {**shared, "method": m, "criterion": m, "top1_final": float(score), **columns} for m, score in scores.items()
    ]


def found(*parts):
    frame = pd.DataFrame([row for part in parts for row in part]).astype({"depth": "Int64"})
    return {(row.between, row.recovery): (row.methods, row.pairs, row.tau_mean, row.tau_low)
            for row in stability(frame).itertuples()}  # fmt: skip


def expected(methods, *taus):
    return methods, len(taus), pytest.approx(sum(taus) / len(taus)), pytest.approx(min(taus))


@pytest.mark.parametrize(
    ("between", "settings"),
    [
        ("ratios", [{"ratio": r} for r in (0.25, 0.5, 0.75)]),
        ("seeds", [{"seed": s} for s in (0, 1, 2)]),
        ("models", [{"model": "plain", "depth": d} for d in (4, 6, 8)]),
        ("models", [{}, {"plan": "macs"}, {"model": "resnet", "depth": 8}]),
    ],
)
def test_every_pair_of_settings_is_compared(between, settings):
    """Of rankings 1, 2 and 3: tau is 2/3 between 1 and 2, -1 between 1 and 3, -2/3 between 2 and 3."""
    parts = [rows(s, **where) for s, where in zip((FOUR, SWAPPED, TURNED), settings, strict=True)]
    assert found(*parts) == {(between, "without training"): expected(4, 2 / 3, -1, -2 / 3)}


def test_what_is_ranked_is_the_mean_over_the_other_settings():
    """Over seeds the means are those of FOUR at both ratios, though at one seed the ranking is another."""
    high = {method: 10 * score for method, score in FOUR.items()}
    parts = [rows(high, seed=0, ratio=r) + rows(TURNED, seed=1, ratio=r) for r in (0.25, 0.5)]
    assert found(*parts)["ratios", "without training"] == expected(4, 1)
    assert found(*parts)["seeds", "without training"] == expected(4, -1)


def test_equal_accuracies_are_ties():
    """tau-b: of 6 pairs one is tied on one side, the other 5 agree: 5 / sqrt(6 * 5)."""
    tied = found(rows(FOUR), rows({**FOUR, "b": 2}, ratio=0.25))
    assert tied == {("ratios", "without training"): expected(4, 5 / 30**0.5)}


def test_rankings_of_two_methods_or_of_equal_ones_do_not_count():
    """Three in common are enough; of four methods here, one or two lack at the other ratio."""
    three, two = {m: FOUR[m] for m in "abc"}, {m: FOUR[m] for m in "ab"}
    assert found(rows(FOUR), rows(three, ratio=0.25)) == {("ratios", "without training"): expected(4, 1)}
    assert found(rows(FOUR), rows(two, ratio=0.25)) == {}
    assert found(rows(FOUR), rows(dict.fromkeys("abcd", 1), ratio=0.25)) == {}
    mixed = found(rows(FOUR), rows(two, ratio=0.25), rows(TURNED, ratio=0.75))
    assert mixed == {("ratios", "without training"): expected(4, -1)}


@pytest.mark.parametrize(
    ("recovery", "kind"),
    [
        ("none", "without"),
        ("recalibrate", "without"),
        ("finetune", "with"),
        ("finetune_tuned", "with"),
        ("scratch_e", "with"),
    ],
)
def test_trained_methods_and_untrained_ones_are_ranked_apart(recovery, kind):
    """Next to methods of the other kind, which rank otherwise."""
    other = "finetune" if kind == "without" else "none"
    across = {method.upper(): score for method, score in TURNED.items()}
    parts = [rows(FOUR, recovery=recovery, ratio=r) + rows(across, recovery=other, ratio=r) for r in (0.25, 0.5)]
    parts.append(rows({"A": 9, "B": 1, "C": 2, "D": 3}, recovery=other, ratio=0.75))
    assert found(*parts)["ratios", f"{kind} training"] == expected(4, 1)


def test_between_schedules_choices_are_ranked_in_each_panel_and_at_each_ratio():
    """A choice is criterion and reconstruction; means are over seeds; in several steps nothing counts."""

    def both(fixed, tuned, **where):
        return rows(fixed, recovery="finetune", **where) + rows(tuned, recovery="finetune_tuned", **where)

    half = both(FOUR, SWAPPED, ratio=0.5)
    quarter = both(FOUR, {m: TURNED[m] for m in "abc"}, ratio=0.25)
    deeper = both({"a": 3, "b": 2, "e": 1}, {"a": 3, "b": 2, "e": 1}, model="plain", depth=4)
    steps = both(TURNED, FOUR, ratio=0.5, steps=2) + both(TURNED, FOUR, ratio=0.75, steps=4)
    untrained = rows(TURNED, recovery="recalibrate", ratio=0.5) + rows(TURNED, recovery="scratch_e", ratio=0.5)
    few = both({"x": 1, "y": 2}, {"x": 1, "y": 2}, ratio=0.1)
    result = found(half, quarter, deeper, steps, untrained, few)["schedules", "fine-tuned"]
    assert result == expected(5, 2 / 3, -1, 1)


def test_the_same_criterion_with_least_squares_is_another_choice():
    plain = rows({"a": 4, "b": 3}, recovery="finetune") + rows({"a": 4, "b": 3}, recovery="finetune_tuned")
    refitted = [
        {**row, "reconstruction": "least_squares", "method": f"{row['method']}+ls", "top1_final": row["top1_final"] - 2}
        for row in plain
    ]
    assert found(plain, refitted)["schedules", "fine-tuned"] == expected(4, 1)
