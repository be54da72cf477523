"""The one sentence that answers a question, from rows of verdicts that are written out."""

import pandas as pd
import pytest

from bench.answers import answer, reductions
from bench.specs import Question

WORDS = {"+": "supported", "-": "contradicted", "?": "inconclusive"}


def asked(kind="difference", against=("a", "b"), models=("lenet", "plain-4"), ratios=(0.25, 0.5), **other):
    given = {"id": "Q", "text": "?", "claim": "!", "subject": "nisp", "metric": "top1_final"}
    return Question(kind=kind, against=against, models=models, ratios=ratios, **given, **other)


def rows(**verdicts):
    """Of each comparator, a sign for each setting; and a row of another question."""
    found = [
        {"question": "Q", "comparison": f"nisp vs {other}", "setting": str(index), "verdict": WORDS[sign]}
        for other, signs in verdicts.items()
        for index, sign in enumerate(signs)
    ]
    return pd.DataFrame(
        [{"question": "R", "comparison": "nisp vs a", "setting": "0", "verdict": "contradicted"}, *found]
    )


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ({"a": "+", "b": "+"}, "nisp is better than a, b."),
        ({"a": "++", "b": "--"}, "nisp is better than a (2 of 2 settings); nisp is worse than b (2 of 2 settings)."),
        ({"a": "?", "b": "??"}, "No difference from a, b (2 of 2 settings) is established."),
        ({"a": "+??", "b": "???"}, "nisp is better than a (1 of 3 settings); no difference from b (3 of 3 settings) is "
         "established; the other settings are open."),
        ({"a": "+-"}, "nisp is better than a (1 of 2 settings); nisp is worse than a (1 of 2 settings)."),
        ({"a": "-?", "b": "+"}, "nisp is better than b; nisp is worse than a (1 of 2 settings); the other settings are "
         "open."),
        ({"b": "+"}, "nisp is better than b."),
    ],
)  # fmt: skip
def test_a_difference(verdicts, told):
    assert answer(asked(), rows(**verdicts), {}) == told


def test_noninferiority_and_slopes_have_their_own_words():
    one = rows(a="+-", b="?")
    told = answer(asked("noninferiority", margin=1.5), one, {})
    assert (
        told
        == "nisp is within 1.5 of a (1 of 2 settings); nisp is more than 1.5 below a (1 of 2 settings); open against b."
    )
    told = answer(asked("slope"), one, {})
    assert told == (
        "nisp fares better with depth than a (1 of 2 settings); nisp fares worse with depth than a (1 of 2 settings); "
        "open against b."
    )
    assert answer(asked("slope"), rows(a="?", b="?"), {}) == "Open against a, b."


REMOVED = {
    ("lenet", "macs", 0.25): (30.4, 10.0),
    ("lenet", "macs", 0.5): (50.0, 19.6),
    ("plain-4", "macs", 0.25): (9, 8),
}


@pytest.mark.parametrize(("margin", "points"), [(1, "1 point"), (2, "2 points"), (0.5, "0.5 points")])
def test_a_budget_is_the_largest_ratio_of_each_model_that_holds(margin, points):
    question = asked("noninferiority", ("base",), plan="macs", margin=margin)
    held = {"lenet at 0.25": "+", "lenet at 0.5": "+", "plain-4 at 0.25": "?", "plain-4 at 0.5": "-"}
    table = pd.DataFrame([{"question": "Q", "setting": at, "verdict": WORDS[sign]} for at, sign in held.items()])
    told = answer(question, table, REMOVED)
    assert told == (
        f"Established within {points} of the unpruned network: lenet at ratio 0.5, 50 % fewer MACs and 20 % fewer "
        "parameters; plain-4 at none of the ratios tried."
    )
    table["verdict"] = ["supported", "contradicted", "supported", "inconclusive"]
    assert "lenet at ratio 0.25, 30 % fewer MACs and 10 % fewer parameters; plain-4 at ratio 0.25, 9 %" in answer(
        question, table, REMOVED
    )


def test_the_unpruned_network_beside_another_comparator_is_one_of_two():
    question = asked("noninferiority", ("base", "a"), margin=1.0)
    assert answer(question, rows(base="+", a="?"), {}) == "nisp is within 1 of base; open against a."


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
