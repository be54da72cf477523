"""The two sentences that answer a question, from rows of verdicts that are written out."""

import pandas as pd
import pytest

from bench.answers.sentences import by_setting, headline, reductions
from bench.answers.wording import amount, estimate, listed, seeds_present, seeds_wanted
from bench.suite.questions import Question

WORDS = {"+": "supported", "-": "contradicted", "=": "equivalent", "?": "open"}
NUMBERS = {"+": (2.5, 1.25, 3.75), "-": (-3.0, -4.0, -2.0), "=": (0.25, -0.5, 0.75), "?": (0.5, -1.5, 2.5)}
ESTIMATES = {
    "+": "+2.5 points [1.25, 3.75]", "-": "-3 points [-4, -2]", "=": "+0.25 points [-0.5, 0.75]",
    "?": "+0.5 points [-1.5, 2.5]; about 40 would be needed",
}  # fmt: skip


def asked(kind="difference", against=("a", "b"), models=("lenet", "plain-4"), ratios=(0.25, 0.5), **other):
    given = {"id": "Q", "text": "?", "claim": "!", "subject": "nisp", "metric": "top1_final"}
    return Question(kind=kind, against=against, models=models, ratios=ratios, **(given | other))


def row(other, setting, sign, question="Q", needed=40):
    difference, low, high = NUMBERS[sign]
    return {
        "question": question, "comparison": f"nisp vs {other}", "setting": setting, "n_seeds": 8,
        "difference": difference, "ci_low": low, "ci_high": high, "verdict": WORDS[sign],
        "seeds_needed": needed if sign == "?" else None,
    }  # fmt: skip


def rows(names=("lenet", "plain-4", "plain-6"), **signs):
    """Of each comparator, the sign over all settings and then one for each; and rows of another question."""
    found = [row("a", "overall", "-", "R"), row("a", "0", "-", "R")]
    for other, (overall, *settings) in signs.items():
        found.append(row(other, "overall", overall))
        found += [row(other, setting, sign) for setting, sign in zip(names, settings, strict=False)]
    return pd.DataFrame(found).astype({"seeds_needed": "Int64"})


@pytest.mark.parametrize(
    ("signs", "told"),
    [
        ({"a": "+++", "b": "+++"}, "nisp is better than a ({+}) and b ({+})."),
        ({"a": "-++"}, "nisp is worse than a ({-})."),
        ({"a": "=??"}, "nisp is equivalent within 1 point to a ({=})."),
        ({"a": "?--", "b": "?++"}, "not decided with 8 seeds per setting: nisp against a ({?}) and b ({?})."),
        ({"a": "+++", "b": "-++", "c": "=++", "d": "?++", "e": "+??"},
         "nisp is better than a ({+}) and e ({+}); nisp is worse than b ({-}); nisp is equivalent within 1 point to c "
         "({=}); not decided with 8 seeds per setting: nisp against d ({?})."),
    ],
)  # fmt: skip
def test_a_headline_says_what_holds_over_all_settings_with_its_numbers(signs, told):
    for sign, text in ESTIMATES.items():
        told = told.replace(f"{{{sign}}}", text)
    assert headline(asked(), rows(**signs)) == f"Top-1 accuracy, over all 2 settings: {told}"


@pytest.mark.parametrize(
    ("signs", "told"),
    [
        ({"a": "+++", "b": "---"}, "By setting, nisp is better than a (all 2); worse than b (all 2)."),
        ({"a": "+??", "b": "???"}, "By setting, nothing is decided."),
        ({"a": "++?-", "b": "=+=="}, "By setting, nisp is better than a (lenet) and b (lenet); worse than a (plain-6); "
         "equivalent within 1 point to b (plain-4, plain-6); not decided: 1 of 6 comparisons."),
        ({"a": "+", "b": "-"}, ""),
    ],
)  # fmt: skip
def test_the_second_sentence_says_what_holds_in_which_setting(signs, told):
    assert by_setting(asked(), rows(**signs), {}) == told


def test_a_question_about_one_setting_names_it():
    question = asked(models=("lenet",), ratios=(0.5,))
    assert headline(question, rows(a="+")).startswith("Top-1 accuracy, in lenet at 0.5: nisp is better than a (")
    told = headline(asked(models=("lenet",)), rows(a="?"))
    assert told.startswith("Top-1 accuracy, in lenet: not decided with 8 seeds: nisp against a (")
    assert headline(asked(), rows(a="+")).startswith("Top-1 accuracy, over all settings: "), (
        "one model's runs are there"
    )


def test_noninferiority_has_its_own_words():
    question, found = asked("noninferiority", margin=1.5), rows(a="+-+", b="-??", c="???")
    assert headline(question, found) == (
        "Top-1 accuracy, over all 2 settings: nisp is at most 1.5 points worse than a (+2.5 points [1.25, 3.75]); nisp "
        "is more than 1.5 points worse than b (-3 points [-4, -2]); not decided with 8 seeds per setting: whether nisp "
        "is at most 1.5 points worse than c (+0.5 points [-1.5, 2.5]; about 40 would be needed)."
    )
    assert by_setting(question, found, {}) == (
        "By setting, nisp is at most 1.5 points worse than a (plain-4); more than 1.5 points worse than a (lenet); not "
        "decided: 4 of 6 comparisons."
    )


def test_slopes_have_their_own_words():
    question = asked("slope", metric="ware", margin=1.0, models=("plain-4", "plain-6", "plain-14"))
    assert headline(question, rows(a="+", b="-", c="=", d="?")) == (
        "WARE per layer, from plain-4 to plain-14: nisp is better with depth than a (+2.5 [1.25, 3.75]); nisp is worse "
        "with depth than b (-3 [-4, -2]); nisp is equivalent within 1 per layer to c (+0.25 [-0.5, 0.75]); not decided "
        "with 8 seeds: nisp against d (+0.5 [-1.5, 2.5]; about 40 would be needed)."
    )
    assert by_setting(question, rows(a="+"), {}) == ""


def test_amounts_have_the_unit_of_their_metric():
    for metric, margin, text in (
        ("top1_final", 1, "1 point"), ("top5_final", 0.5, "0.5 points"), ("agreement_top1", 2, "2 points"),
        ("ware", 0.05, "0.05"), ("score_seconds", 1, "1 s"),
    ):  # fmt: skip
        assert amount(asked(metric=metric, margin=margin), margin) == text
    assert amount(asked("slope", metric="ware", margin=0.01), 0.01) == "0.01 per layer"


def test_estimates_have_three_digits_and_nothing_below_a_thousandth_of_the_margin():
    found = pd.Series({"difference": -2.48e-7, "ci_low": -0.38771, "ci_high": 12.3456})
    assert estimate(asked(), found) == "+0 points [-0.388, 12.3]"
    found = pd.Series({"difference": 0.000862, "ci_low": -0.0086914, "ci_high": 0.0062951})
    assert estimate(asked(metric="ware", margin=0.01), found) == "+0.00086 [-0.00869, 0.0063]"


def test_numbers_of_seeds_are_rounded_up_to_two_digits():
    found = {needed: seeds_wanted(pd.Series({"seeds_needed": needed})) for needed in (7, 40, 99, 101, 248, 1000)}
    assert found == {
        7: "about 7", 40: "about 40", 99: "about 99", 101: "about 110", 248: "about 250", 1000: "about 1000"
    }  # fmt: skip
    assert seeds_wanted(pd.Series({"seeds_needed": pd.NA})) == "more than 1000"
    assert seeds_present([8, 8], 2) == "8 seeds per setting" and seeds_present([5, 8], 1) == "5 to 8 seeds"


def test_lists_end_with_and():
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


REMOVED = {
    ("lenet", "macs", 0.25): (30.4, 10.0),
    ("lenet", "macs", 0.5): (50.0, 19.6),
    ("plain-4", "macs", 0.25): (9, 8),
}


@pytest.mark.parametrize(("margin", "points"), [(1, "1 point"), (2, "2 points"), (0.5, "0.5 points")])
def test_a_budget_is_the_largest_ratio_of_each_model_that_holds(margin, points):
    question = asked("noninferiority", ("base",), plan="macs", margin=margin)
    held = {"lenet at 0.25": "+", "lenet at 0.5": "+", "plain-4 at 0.25": "?", "plain-4 at 0.5": "-"}
    table = pd.DataFrame([row("base", at, sign) for at, sign in ({"overall": "-"} | held).items()])
    told = by_setting(question, table, REMOVED)
    assert told == (
        f"Shown to be at most {points} worse than the unpruned network: lenet at ratio 0.5, 50 % fewer MACs and 20 % "
        "fewer parameters; plain-4 at none of the ratios tried."
    )
    assert f"nisp is more than {points} worse than the unpruned network (-3 points" in headline(question, table)
    table["verdict"] = ["open", "supported", "contradicted", "supported", "open"]
    assert "lenet at ratio 0.25, 30 % fewer MACs and 10 % fewer parameters; plain-4 at ratio 0.25, 9 %" in by_setting(
        question, table, REMOVED
    )


def test_a_budget_of_one_model_at_one_ratio_is_read_from_the_only_row():
    question = asked("noninferiority", ("base",), plan="macs", margin=1, models=("lenet",), ratios=(0.5,))
    held, not_held = (by_setting(question, pd.DataFrame([row("base", "overall", sign)]), REMOVED) for sign in "+?")
    assert held.endswith("lenet at ratio 0.5, 50 % fewer MACs and 20 % fewer parameters.")
    assert not_held.endswith("lenet at none of the ratios tried.")


def test_the_unpruned_network_beside_another_comparator_is_one_of_two():
    question = asked("noninferiority", ("base", "a"), margin=1.0)
    assert "worse than the unpruned network (+2.5" in headline(question, rows(base="+++", a="?++"))
    assert by_setting(question, rows(base="+++", a="???"), {}) == (
        "By setting, nisp is at most 1 point worse than the unpruned network (all 2); not decided: 2 of 4 comparisons."
    )


def test_reductions_are_means_over_the_runs_of_a_cell_in_per_cent():
    cells = [
        ("uniform", 0.5, 0, 40, 90),
        ("uniform", 0.5, 1, 60, 80),
        ("uniform", 0.25, 0, 75, 95),
        ("macs", 0.5, 0, 50, 70),
    ]
    runs = pd.DataFrame(cells, columns=["plan", "ratio", "seed", "macs", "params"]).assign(
        dataset="digits", model="plain", depth=4, macs_base=200, params_base=100
    )
    assert reductions(runs) == {
        ("plain-4", "uniform", 0.5): pytest.approx((75, 15)),
        ("plain-4", "uniform", 0.25): pytest.approx((62.5, 5)),
        ("plain-4", "macs", 0.5): pytest.approx((75, 30)),
    }
