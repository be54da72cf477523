"""Effects in a factorial, on tables whose effects are known."""

import numpy as np
import pandas as pd
import pytest

from bench.answers.effects import EFFECTS, effects, variance_shares
from bench.answers.tables import read, write
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


def test_a_suite_without_compositions_has_no_effects():
    plain = suite().model_copy(update={"experiments": ()})
    assert effects(plain, table(lambda *_: 1.0)).empty
