import numpy as np
import pandas as pd
import pytest

from bench.answers.sentences import by_setting, headline, reductions
from bench.answers.stability import stability
from bench.answers.terminal import as_text
from bench.answers.verdicts import verdicts
from bench.suite.schema import Suite

DEPTHS = (4, 6, 8)


def suite(**question):
    defaults = {
        "id": "Q", "text": "Is it so?", "claim": "It is.", "kind": "difference", "metric": "top1_final",
        "subject": "nisp", "against": ["random"], "models": [f"plain-{d}" for d in DEPTHS], "ratios": [0.25, 0.5],
    }  # fmt: skip
    return Suite(
        suite="t",
        title="t",
        datasets=[{"name": "digits"}],
        training={"default": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}},
        finetune={"epochs": 1},
        methods={name: {"criterion": name} for name in ("nisp", "random", "magnitude")},
        experiments=[
            {
                "name": "e",
                "models": [{"name": "plain", "depth": d} for d in DEPTHS],
                "seeds": range(6),
                "ratios": [0.25, 0.5],
                "methods": ["nisp", "random", "magnitude"],
            }
        ],
        questions=[defaults | question],
    )


def table(gain, noise=0.3, **columns):
    """Runs in which nisp's accuracy is 80 and the others' is 80 - gain(method, depth, ratio), up to noise."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "dataset": "digits", "model": "plain", "depth": depth, "seed": seed, "method": method,
            "plan": "uniform", "ratio": ratio,
            "criterion": method, "reconstruction": "none", "recovery": "none", "steps": 1, "top1_base": 81.0,
            "top1_final": 80 - gain(method, depth, ratio) + noise * rng.normal(),
            "ware": 0.5 + 0.1 * depth * (method != "nisp") + 0.01 * rng.normal(),
        }
        for depth in DEPTHS for seed in range(6) for method in ("nisp", "random", "magnitude") for ratio in (0.25, 0.5)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"depth": "Int64"}).assign(**columns)


def test_a_difference_is_the_mean_over_ratios_and_settings_and_then_model_by_model():
    runs = table(lambda m, d, r: {"nisp": 0, "random": 5 if r == 0.5 else 1, "magnitude": -4}[m], noise=0.2)
    answers = verdicts(suite(against=["random", "magnitude"]), runs)
    assert list(answers["setting"]) == ["overall", "plain-4", "plain-6", "plain-8"] * 2
    for comparison, expected, decided in (
        ("nisp vs random", 3, "supported"),
        ("nisp vs magnitude", -4, "contradicted"),
    ):
        rows = answers[answers["comparison"] == comparison]
        assert rows["difference"].to_numpy() == pytest.approx([expected] * 4, abs=0.4)
        assert rows["difference"].iloc[0] == pytest.approx(rows["difference"].iloc[1:].mean())
        assert (rows["verdict"] == decided).all() and (rows["n_seeds"] == 6).all()
        assert rows["seeds_needed"].isna().all() and (rows["margin"] == 1).all()


def test_without_any_difference_methods_are_equivalent_where_seeds_scatter_little_and_open_where_much():
    quiet = verdicts(suite(), table(lambda m, d, r: 0))
    assert set(quiet["verdict"]) == {"equivalent"} and (quiet["p_value"] < 0.05).all()
    loud = verdicts(suite(), table(lambda m, d, r: 0, noise=8))
    assert set(loud["verdict"]) == {"open"} and (loud["seeds_needed"] > 6).all()
    narrow = verdicts(suite(margin=0.01), table(lambda m, d, r: 0))
    assert set(narrow["verdict"]) == {"open"} and (narrow["margin"] == 0.01).all()


def test_noninferiority_is_judged_against_the_margin_and_cell_by_cell():
    """Never 'equivalent': 'supported' says already that the difference is within the margin."""
    runs = table(lambda m, d, r: 3 if r == 0.5 and m == "nisp" else 0)
    answers = verdicts(suite(kind="noninferiority", against=["base"], margin=2.0), runs)
    decided = dict(zip(answers["setting"], answers["verdict"], strict=True))
    assert decided["plain-4 at 0.25"] == "supported" and decided["plain-4 at 0.5"] == "contradicted"
    assert answers["metric"].unique() == ["top1_final"] and answers["margin"].unique() == [2]
    wide = verdicts(suite(kind="noninferiority", against=["random"], margin=2.0), table(lambda m, d, r: 0))
    assert set(wide["verdict"]) == {"supported"}


def test_a_slope_is_per_layer_and_its_sign_is_turned_where_lower_is_better():
    question = suite(kind="slope", metric="ware", higher_is_better=False, ratios=[0.5], margin=0.05)
    [answer] = verdicts(question, table(lambda m, d, r: 0)).to_dict("records")
    assert answer["difference"] == pytest.approx(0.1, abs=0.01)
    assert (answer["verdict"], answer["setting"]) == ("supported", "overall")
    question = suite(kind="slope", metric="ware", ratios=[0.5], margin=0.2)
    assert list(verdicts(question, table(lambda m, d, r: 0))["verdict"]) == ["equivalent"]


def test_missing_partners_are_left_out_of_the_pairs():
    runs = table(lambda m, d, r: 1)
    runs = runs[~((runs["method"] == "random") & (runs["seed"] == 0))]
    assert (verdicts(suite(), runs)["n_seeds"] == 5).all()


def test_the_text_holds_every_comparison_and_the_counts():
    text = as_text(suite(), verdicts(suite(), table(lambda m, d, r: 0 if m == "nisp" else 9)), {})
    assert "Answer: Top-1 accuracy, over all 3 settings: nisp is better than random (+9" in text
    assert "By setting, nisp is better than random (all 3)." in text
    assert text.count("nisp vs random") == 4 and "Q: Is it so?" in text
    assert "  over all settings: 1 supported, 0 contradicted, 0 equivalent, 0 open\n" in text
    assert text.endswith("  setting by setting: 3 supported, 0 contradicted, 0 equivalent, 0 open\n")


def test_the_columns_of_the_text_are_as_wide_as_they_need_and_42_and_16_at_least():
    row = {"question": "Q", "n_seeds": 6, "metric": "top1_final", "difference": 12.34567, "ci_low": -1.5}
    row |= {"ci_high": 20.0, "p_value": 0.0314, "margin": 1.0, "seeds_needed": 247, "verdict": "open"}
    for comparison, setting, first, second in (("a vs b", "lenet", 42, 16), ("a" * 45, "b" * 20, 47, 22)):
        answers = pd.DataFrame([row | {"comparison": comparison, "setting": setting}])
        *_, head, line, counts = as_text(suite(), answers, {}).splitlines()
        fields = f"    6      +12.35  {'[-1.5, 20]':<22} 0.031  open, about 250 seeds needed"
        assert line == f"  {comparison:<{first}}{setting:<{second}}{fields}"
        assert (
            head
            == f"  {'comparison':<{first}}{'setting':<{second}}seeds  difference  {'95 % interval':<22}     p  verdict"
        )
        assert counts == "  setting by setting: 0 supported, 0 contradicted, 0 equivalent, 1 open"


def test_answers_name_winners_losers_equals_and_what_is_open():
    runs = table(lambda m, d, r: {"nisp": 0, "random": 5, "magnitude": -4 if d == 4 else 0}[m])
    asked = suite(against=["random", "magnitude"])
    found = verdicts(asked, runs)
    told = headline(asked.questions[0], found)
    assert told.startswith("Top-1 accuracy, over all 3 settings: nisp is better than random (+5.")
    assert "; nisp is worse than magnitude (-1." in told and told.endswith("]).")
    assert by_setting(asked.questions[0], found, {}) == (
        "By setting, nisp is better than random (all 3); worse than magnitude (plain-4); equivalent within 1 point to "
        "magnitude (plain-6, plain-8)."
    )


def test_the_answer_to_a_budget_is_the_largest_ratio_within_the_margin():
    asked = suite(kind="noninferiority", against=["base"], margin=2.0)
    runs = table(lambda m, d, r: 9 if d == 4 or (d == 6 and r == 0.5) else 0)
    runs = runs.assign(macs_base=100, macs=100 - 100 * runs["ratio"], params_base=10, params=10 - 4 * runs["ratio"])
    told = by_setting(asked.questions[0], verdicts(asked, runs), reductions(runs))
    assert "plain-4 at none of the ratios tried" in told
    assert "plain-6 at ratio 0.25, 25 % fewer MACs and 10 % fewer parameters" in told
    assert "plain-8 at ratio 0.5, 50 % fewer MACs and 20 % fewer parameters" in told


def test_two_methods_have_no_ranking_to_be_stable():
    runs = table(lambda m, d, r: 0)
    assert stability(runs[runs["method"] != "magnitude"]).empty


def test_stability_is_kendalls_tau_between_settings():
    order = {"nisp": 0, "random": 9, "magnitude": 4}
    agreed = stability(table(lambda m, d, r: order[m]))
    assert set(agreed["between"]) == {"ratios", "seeds", "models"} and (agreed["tau_mean"] == 1).all()
    turned = stability(table(lambda m, d, r: order[m] * (1 if r == 0.5 else -1)))
    assert turned.set_index("between").loc["ratios", "tau_mean"] == -1


def test_stability_between_schedules_ranks_choices_that_were_fine_tuned_at_both():
    order = {"nisp": 0, "random": 9, "magnitude": 4}
    fixed = table(lambda m, d, r: order[m], recovery="finetune")
    tuned = table(lambda m, d, r: order[m] * (1 if d == 4 else -1), recovery="finetune_tuned")
    scratch = table(lambda m, d, r: -50, recovery="scratch_e")
    alone = fixed[fixed["method"] == "nisp"].assign(method="other", criterion="other")
    runs = pd.concat([fixed, alone, tuned[tuned["ratio"] == 0.5], scratch])
    found = stability(runs).set_index("between").loc["schedules"]
    # Three panels at one ratio: the same order in one, turned round in two.
    assert found["methods"] == 3 and found["pairs"] == 3
    assert found["tau_mean"] == pytest.approx(-1 / 3) and found["tau_low"] == -1
