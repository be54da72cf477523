"""Effects in a factorial, on tables whose effects are known."""

import numpy as np
import pandas as pd
import pytest

from bench.answers.effects import EFFECTS, effects, variance_shares
from bench.answers.statistics import paired_bootstrap
from bench.answers.tables import read, write
from bench.suite.experiments import Compositions, Experiment
from bench.suite.schema import Suite

CRITERIA, RECOVERIES, RATIOS, SEEDS = ("nisp", "random"), ("none", "recalibrate"), (0.25, 0.5, 0.75), (0, 1, 2, 3)


def suite():
    return Suite(
        suite="f",
        title="F",
        datasets=[{"name": "digits"}],
        training={"default": {"epochs": 1, "batch_size": 64, "learning_rate": 0.1}},
        finetune={"epochs": 1},
        experiments=[
            {
                "name": "all", "models": [{"name": "lenet"}], "seeds": SEEDS, "ratios": RATIOS,
                "compositions": {"criteria": CRITERIA, "recoveries": RECOVERIES},
            }
        ],
    )  # fmt: skip


def table(value):
    rows = []
    for seed in SEEDS:
        for criterion in CRITERIA:
            for recovery in RECOVERIES:
                for ratio in RATIOS:
                    method = criterion + ("+none" if recovery == "none" else "")
                    rows.append(
                        {
                            "dataset": "digits", "model": "lenet", "depth": None, "seed": seed, "method": method,
                            "criterion": criterion, "reconstruction": "none", "recovery": recovery, "plan": "uniform",
                            "ratio": ratio, "top1_final": value(seed, criterion, recovery, ratio),
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows).astype({"depth": "Int64"})


def test_compositions_are_named_by_what_is_done():
    names = [name + ("" if recovery == "recalibrate" else "+none") for name in CRITERIA for recovery in RECOVERIES]
    assert sorted(suite().methods) == sorted(["nisp+none", "nisp", "random+none", "random"]) == sorted(names)


def test_a_single_cause_explains_all_and_its_levels_are_its_gains():
    noise = np.random.default_rng(0).normal(size=4)
    found = effects(suite(), table(lambda seed, criterion, *_: 50 + noise[seed] + 10 * (criterion == "nisp")))
    shares = found[found["kind"] == "share"].set_index("term")["value"]
    assert shares["criterion"] == pytest.approx(100) and shares.drop("criterion").abs().max() < 1e-9
    gains = found[(found["kind"] == "level") & (found["term"] == "criterion")].set_index("level")["value"]
    assert gains["nisp"] == pytest.approx(5) and gains["random"] == pytest.approx(-5)
    assert (found["n_seeds"] == 4).all() and "reconstruction" not in set(found["term"])


def test_effects_survive_their_table(tmp_path):
    found = effects(suite(), table(lambda seed, criterion, *_: 50 + seed + 10 * (criterion == "nisp")))
    write(found, EFFECTS, tmp_path / "effects.csv")
    pd.testing.assert_frame_equal(read(tmp_path / "effects.csv", EFFECTS), found, check_dtype=False)


def test_an_interaction_is_told_from_main_effects():
    def crossed(seed, criterion, recovery, ratio):
        return 50 + 3 * (1 if (criterion == "nisp") == (recovery == "none") else -1) + seed

    shares = effects(suite(), table(crossed))
    shares = shares[shares["kind"] == "share"].set_index("term")["value"]
    assert shares["criterion x recovery"] == pytest.approx(100)
    assert shares["criterion"] == pytest.approx(0, abs=1e-9)


def test_every_reconstruction_has_a_suffix():
    made = Compositions(criteria=["nisp"], reconstructions=["none", "least_squares", "mean"])
    labels = {label: spec.reconstruction for label, spec in made.methods.items()}
    assert labels == {"nisp": "none", "nisp+ls": "least_squares", "nisp+mean": "mean"}


def test_shares_add_up_and_agree_with_an_analysis_of_variance_by_least_squares():
    values = np.random.default_rng(1).normal(size=(3, 2, 4, 3))
    shares = variance_shares(values)
    np.testing.assert_allclose(sum(shares.values()), 1)
    for seed in range(3):
        flat = values[seed].ravel()
        grid = np.indices(values.shape[1:]).reshape(3, -1)
        dummies = np.stack([(grid[1] == level).astype(float) for level in range(4)], 1)
        fitted = dummies @ np.linalg.lstsq(dummies, flat, rcond=None)[0]
        assert shares[1,][seed] == pytest.approx(fitted.var() / flat.var())


SIGN = {"nisp": 1, "random": -1, "none": 1, "recalibrate": -1, 0.25: 1, 0.5: -1}
WEIGHTS = [(3, 2, 1, 2, 1), (1, 4, 0, 1, 2), (2, 2, 2, 2, 2), (5, 1, 1, 0, 3)]
"""By seed: of criterion, recovery, ratio, criterion x recovery, and of all three together."""


def weighted(seed, criterion, recovery, ratio):
    """Orthogonal contrasts: each takes its squared weight of the variance. Other ratios are far off."""
    a, b, c = (SIGN.get(level, 1000) for level in (criterion, recovery, ratio))
    weights = WEIGHTS[seed % len(WEIGHTS)]
    return 50 + seed + sum(w * term for w, term in zip(weights, (a, b, c, a * b, a * b * c), strict=True))


def two_ratios():
    """The suite with the ratios 0.25 and 0.5 only, of which every contrast has two levels."""
    one = suite().experiments[0].model_copy(update={"ratios": (0.25, 0.5)})
    return suite().model_copy(update={"experiments": (one,)})


def test_every_row_is_that_of_the_contrasts_and_its_interval_is_over_seeds():
    found = effects(two_ratios(), table(weighted))
    parts = [[w**2 / sum(v**2 for v in weights) for w in weights] for weights in WEIGHTS]
    a, b, c, ab, abc = ([100 * part[index] for part in parts] for index in range(5))
    zero, gains = [0.0] * 4, [[float(weights[index]) for weights in WEIGHTS] for index in range(3)]
    expected = [
        ("share", "criterion", "all", a), ("share", "recovery", "all", b), ("share", "ratio", "all", c),
        ("share", "criterion x recovery", "all", ab), ("share", "criterion x ratio", "all", zero),
        ("share", "recovery x ratio", "all", zero), ("share", "rest", "all", abc),
    ]  # fmt: skip
    for factor, levels, gain in zip(
        ("criterion", "recovery", "ratio"), (CRITERIA, RECOVERIES, RATIOS), gains, strict=True
    ):
        expected += [("level", factor, str(level), [SIGN[level] * value for value in gain]) for level in levels[:2]]
    assert list(map(tuple, found[["kind", "term", "level"]].to_numpy())) == [row[:3] for row in expected]
    assert set(zip(found["experiment"], found["panel"], found["n_seeds"], strict=True)) == {("all", "lenet", 4)}
    for row, (*what, values) in zip(found.itertuples(), expected, strict=True):
        result = paired_bootstrap(values)
        got = (row.value, row.ci_low, row.ci_high)
        assert got == pytest.approx((result.mean, result.low, result.high), rel=1e-6, abs=1e-9), what


def test_rows_may_come_in_any_order_and_of_other_experiments_none_counts():
    runs = table(weighted)
    other = [
        runs.assign(top1_final=-1e6, **changes)
        for changes in ({"method": "nisp+x"}, {"seed": runs["seed"] + 4}, {"plan": "macs"}, {"model": "plain"})
    ]
    mixed = pd.concat([runs, *other]).iloc[::-1]
    found, expected = effects(two_ratios(), mixed), effects(two_ratios(), runs)
    key = ["kind", "term", "level"]
    pd.testing.assert_frame_equal(
        found.sort_values(key, ignore_index=True), expected.sort_values(key, ignore_index=True)
    )


def test_a_panel_with_one_seed_or_with_nothing_varied_has_no_effects():
    runs = table(weighted)
    assert effects(suite(), runs[runs["seed"] == 0]).empty
    one = (runs["criterion"] == "nisp") & (runs["recovery"] == "none") & (runs["ratio"] == 0.5)
    assert effects(suite(), runs[one]).empty
    assert set(effects(suite(), runs[runs["seed"] < 2])["n_seeds"]) == {2}


def test_panels_are_told_apart():
    """Two data sets, one of which does nothing but repeat half of the effects."""
    runs = table(weighted)
    both = pd.concat([runs.assign(dataset="mnist", top1_final=50 + (runs["top1_final"] - 50) / 2), runs])
    found = effects(two_ratios(), both).set_index(["panel", "kind", "term", "level"])["value"]
    whole, half = found["lenet (digits)"], found["lenet (mnist)"]
    assert half["share"].to_numpy() == pytest.approx(whole["share"].to_numpy(), abs=1e-9)
    assert half["level"].to_numpy() == pytest.approx(whole["level"].to_numpy() / 2)
    assert list(dict.fromkeys(found.index.get_level_values("panel"))) == ["lenet (mnist)", "lenet (digits)"]


def test_where_nothing_varies_nothing_is_explained():
    shares = variance_shares(np.full((2, 2, 3), 7.0))
    assert all((values == 0).all() for values in shares.values()) and set(shares) == {(0,), (1,), (0, 1), ()}


def test_an_experiment_without_compositions_has_no_effects():
    named = Experiment(name="named", models=[{"name": "lenet"}], seeds=SEEDS, ratios=RATIOS, methods=["nisp"])
    plain, both = (
        suite().model_copy(update={"experiments": some}) for some in ((named,), (named, *suite().experiments))
    )
    assert effects(plain, table(weighted)).empty
    pd.testing.assert_frame_equal(effects(both, table(weighted)), effects(suite(), table(weighted)))
