"""What a verdict is computed from: which runs are compared, in which pairs, with which sign and against which value.

Each expected difference is written out from the formula of the table of runs; the statistics themselves are tested in
test_statistics.py.
"""

import numpy as np
import pandas as pd
import pytest

from bench.answers.families import corrected
from bench.answers.seeds import seeds_needed
from bench.answers.statistics import paired_bootstrap, stratified
from bench.answers.verdicts import verdicts
from tests.bench.answers.test_verdicts import DEPTHS, suite

NOISE = np.random.default_rng(5).normal(0, 0.5, (6, 3, 2)).round(3)
"""Of nisp, by seed, depth and ratio."""


def value(method, seed, depth, ratio):
    if method == "random":
        return 70.0 + seed + (8 if ratio == 0.5 else 2) + depth
    return 77.0 + seed + depth + NOISE[seed, DEPTHS.index(depth), int(ratio == 0.5)]


def row(method, seed, depth, ratio, /, **changes):
    return {
        "dataset": "digits", "model": "plain", "depth": depth, "seed": seed, "method": method, "plan": "uniform",
        "ratio": ratio, "top1_final": value(method, seed, depth, ratio), "top1_base": 85.0 + seed, "top5_base": 99.0,
        "ware": value(method, seed, depth, ratio) / 100,
    } | changes  # fmt: skip


def runs_of(rows):
    return pd.DataFrame(rows).astype({"depth": "Int64"})


def runs(*more):
    grid = [(m, s, d, r) for m in ("nisp", "random") for s in range(6) for d in DEPTHS for r in (0.25, 0.5)]
    return runs_of([row(*cell) for cell in grid] + list(more))


def check(found, expected, null=0.0, margin=1.0, equivalence=True):
    """``expected``: (comparison, setting) -> differences, or those of each stratum; of one question, in their order."""
    assert list(zip(found["comparison"], found["setting"], strict=True)) == list(expected)
    strata = [values if isinstance(values, tuple) else (values,) for values in expected.values()]
    results = [stratified(values) for values in strata]
    for column, name in (("n_seeds", "n"), ("difference", "mean"), ("ci_low", "low"), ("ci_high", "high")):
        assert list(found[column]) == pytest.approx([getattr(result, name) for result in results]), column
    assert list(found["margin"]) == [margin] * len(found)
    for overall in (True, False):
        family = [i for i, (_, setting) in enumerate(expected) if (setting == "overall") == overall]
        tests = [[results[i].p_differs(null), results[i].p_within(margin)][: 1 + equivalence] for i in family]
        for i, p in zip(family, corrected(tests), strict=True):
            row = found.iloc[i]
            own = {"supported": p[:1], "contradicted": p[:1], "equivalent": p[1:], "open": p}[row["verdict"]]
            assert row["p_value"] == pytest.approx(min(own))
            result, needed = results[i], None
            if row["verdict"] == "open":
                within = margin if equivalence else None
                needed = seeds_needed(result.mean, result.spreads, result.n, null, within, len(family))
            assert pd.isna(row["seeds_needed"]) if needed is None else row["seeds_needed"] == needed


def differences(depth, ratios, seeds=range(6)):
    """nisp less random, in the mean over ratios."""
    gains = [[value("nisp", s, depth, r) - value("random", s, depth, r) for r in ratios] for s in seeds]
    return [sum(gain) / len(gain) for gain in gains]


def test_a_difference_is_the_mean_over_the_ratios_that_are_asked_about():
    found = verdicts(suite(models=["plain-8", "plain-4"]), runs())
    settings = {("nisp vs random", f"plain-{d}"): differences(d, (0.25, 0.5)) for d in (8, 4)}
    check(found, {("nisp vs random", "overall"): tuple(settings.values())} | settings)
    only = verdicts(suite(models=["plain-4"], ratios=[0.25]), runs())
    check(only, {("nisp vs random", "overall"): differences(4, (0.25,))})
    assert set(found["metric"]) == {"top1_final"} and set(found["question"]) == {"Q"}


def test_the_sign_is_turned_where_lower_is_better():
    higher, lower = (verdicts(suite(ratios=[0.25], higher_is_better=up), runs()) for up in (True, False))
    assert list(lower["difference"]) == pytest.approx([-mean for mean in higher["difference"]])
    assert list(higher["verdict"]) == ["supported"] * 4 and list(lower["verdict"]) == ["contradicted"] * 4


def test_runs_of_other_plans_ratios_models_and_methods_do_not_count():
    wild = [
        row("nisp", seed, 4, 0.25, top1_final=1000.0 * seed, **other)
        for seed in range(6)
        for other in ({"plan": "macs"}, {"ratio": 0.75}, {"depth": 10}, {"method": "magnitude"}, {"model": "resnet"})
    ]
    question = suite(ratios=[0.25])
    pd.testing.assert_frame_equal(verdicts(question, runs(*wild)), verdicts(question, runs()))


def test_a_question_about_a_plan_compares_runs_of_that_plan():
    content = suite().model_dump(by_alias=True)
    content["plans"] = {"macs": {"budget": "macs"}}
    content["experiments"][0]["plans"], content["questions"][0]["plan"] = ["uniform", "macs"], "macs"
    table = runs()
    other = pd.concat([table.assign(top1_final=1.0), table.assign(plan="macs")])
    pd.testing.assert_frame_equal(verdicts(type(suite())(**content), other), verdicts(suite(), table))


def test_pairs_have_data_set_model_depth_seed_and_ratio_in_common():
    """The order of rows means nothing, and a run without its partner is left out."""
    table = runs().sample(frac=1, random_state=0)
    kept = table[~((table["method"] == "random") & (table["seed"] == 3) & (table["depth"] == 4))]
    found = verdicts(suite(models=["plain-4"]), kept)
    check(found, {("nisp vs random", "overall"): differences(4, (0.25, 0.5), (0, 1, 2, 4, 5))})


def test_a_seed_without_one_of_the_ratios_is_left_out_of_their_mean():
    """But not out of the settings of noninferiority at the other ratio."""
    table = runs()
    kept = table[~((table["method"] == "nisp") & (table["seed"] == 3) & (table["ratio"] == 0.5))]
    seeds = (0, 1, 2, 4, 5)
    check(
        verdicts(suite(models=["plain-4"]), kept), {("nisp vs random", "overall"): differences(4, (0.25, 0.5), seeds)}
    )
    found = verdicts(suite(models=["plain-4"], kind="noninferiority", margin=2.0), kept)
    expected = {
        ("nisp vs random", "overall"): differences(4, (0.25, 0.5), seeds),
        ("nisp vs random", "plain-4 at 0.25"): differences(4, (0.25,)),
        ("nisp vs random", "plain-4 at 0.5"): differences(4, (0.5,), seeds),
    }
    check(found, expected, null=-2, margin=2.0, equivalence=False)


def test_the_number_of_seeds_over_all_settings_is_that_of_the_setting_with_the_fewest():
    table = runs()
    kept = table[~((table["seed"] > 2) & (table["depth"] == 6))]
    assert list(verdicts(suite(), kept)["n_seeds"]) == [3, 6, 3, 6]


def test_runs_on_two_data_sets_are_paired_within_each():
    """A difference is a seed's mean over both; a slope is fitted for each data set and seed."""
    table = runs()
    other = table.assign(dataset="mnist", top1_final=table["top1_final"] + 5 * (table["method"] == "nisp"))
    other["ware"] = table["ware"] + 0.01 * table["depth"].astype(float) * (table["method"] == "random")
    both = pd.concat([table, other])
    more = [difference + 2.5 for difference in differences(4, (0.25, 0.5))]
    check(verdicts(suite(models=["plain-4"]), both), {("nisp vs random", "overall"): more})
    slope = suite(kind="slope", metric="ware", higher_is_better=False, ratios=[0.5], margin=0.01)
    one, two = (verdicts(slope, some).iloc[0] for some in (table, both))
    assert one["n_seeds"] == two["n_seeds"] == 6 and two["difference"] == pytest.approx(one["difference"] + 0.005)
    slopes = [ware_slopes(0.5, range(6)), [slope + 0.01 for slope in ware_slopes(0.5, range(6))]]
    check(verdicts(slope, both), {("nisp vs random", "overall"): tuple(slopes)}, margin=0.01)


@pytest.mark.parametrize("metric", ["top1_final", "top5_final"])
def test_noninferiority_to_the_unpruned_network_is_judged_against_minus_the_margin(metric):
    table = runs().assign(top5_final=lambda frame: frame["top1_final"] + 10)
    question = suite(kind="noninferiority", against=["base"], margin=5.0, models=["plain-6"], metric=metric)
    gaps = {
        ("nisp vs base", f"plain-6 at {r:g}"): [
            value("nisp", s, 6, r) - (85 + s if metric == "top1_final" else 89) for s in range(6)
        ]
        for r in (0.25, 0.5)
    }
    found = verdicts(question, table)
    means = [sum(pair) / 2 for pair in zip(*gaps.values(), strict=True)]
    check(found, {("nisp vs base", "overall"): means} | gaps, null=-5, margin=5.0, equivalence=False)
    assert set(found["metric"]) == {metric}
    if metric == "top1_final":
        assert list(found["verdict"]) == ["supported"] * 3, "2 points below, 5 are allowed"


def test_noninferiority_over_all_settings_has_one_stratum_per_model():
    """Ratios of one model share its base networks, so they are averaged by seed first."""
    question = suite(kind="noninferiority", margin=6.5, models=["plain-4", "plain-8"])
    found = verdicts(question, runs())
    assert list(found["setting"]) == ["overall", *(f"plain-{d} at {r:g}" for d in (4, 8) for r in (0.25, 0.5))]
    expected = stratified([differences(d, (0.25, 0.5)) for d in (4, 8)])
    row = found.iloc[0]
    assert (row["difference"], row["ci_low"], row["n_seeds"]) == (
        pytest.approx(expected.mean), pytest.approx(expected.low), 6
    )  # fmt: skip


def test_noninferiority_to_another_method():
    question = suite(kind="noninferiority", margin=6.5, models=["plain-4"], ratios=[0.5], subject="random",
                     against=["nisp"])  # fmt: skip
    gaps = [-difference for difference in differences(4, (0.5,))]
    check(verdicts(question, runs()), {("random vs nisp", "overall"): gaps}, -6.5, margin=6.5, equivalence=False)


def ware_slopes(ratio, seeds):
    """Depths are 4, 6, 8: the slope is (last - first) / 4."""
    worse = {d: [(value("random", s, d, ratio) - value("nisp", s, d, ratio)) / 100 for s in seeds] for d in (4, 8)}
    return [(last - first) / 4 for first, last in zip(worse[4], worse[8], strict=True)]


def test_a_slope_is_fitted_by_least_squares_over_depth_for_each_seed():
    """A seed without one of the depths is left out."""
    table = runs()
    table = table[~((table["seed"] == 2) & (table["depth"] == 6))]
    question = suite(kind="slope", metric="ware", higher_is_better=False, ratios=[0.25], margin=0.02)
    found = verdicts(question, table)
    check(found, {("nisp vs random", "overall"): ware_slopes(0.25, (0, 1, 3, 4, 5))}, margin=0.02)
    assert set(found["metric"]) == {"ware per layer"}


def test_a_slope_over_several_ratios_is_that_of_their_mean():
    table, slopes = runs(), {}
    for ratios in ((0.25,), (0.5,), (0.25, 0.5)):
        slopes[ratios] = verdicts(suite(kind="slope", metric="ware", ratios=ratios, margin=1.0), table)[
            "difference"
        ].item()
    assert slopes[0.25, 0.5] == pytest.approx((slopes[0.25,] + slopes[0.5,]) / 2)


def test_a_model_without_any_pair_is_left_out():
    table = runs()
    kept = table[(table["method"] == "nisp") | (table["depth"] != 6)]
    assert list(verdicts(suite(), kept)["setting"]) == ["overall", "plain-4", "plain-8"]


def test_each_question_has_two_families():
    """Its rows over all settings, and its settings: one question with four rows, and one with a single row."""
    content = suite().model_dump(by_alias=True)
    first = content["questions"][0]
    content["questions"] = [first, first | {"id": "R", "models": ["plain-6"], "ratios": [0.5]}]
    found = verdicts(type(suite())(**content), runs())
    alone = found[found["question"] == "R"]
    raw = paired_bootstrap(differences(6, (0.5,))).p_differs(0)
    assert list(alone["p_value"]) == [pytest.approx(raw)] and len(found) == 5
    settings = [paired_bootstrap(differences(d, (0.25, 0.5))) for d in DEPTHS]
    asked = found[found["question"] == "Q"]
    assert asked["p_value"].iloc[1:].min() == pytest.approx(3 * min(result.p_differs(0) for result in settings))
    overall = stratified([differences(d, (0.25, 0.5)) for d in DEPTHS])
    assert asked["p_value"].iloc[0] == pytest.approx(overall.p_differs(0))
