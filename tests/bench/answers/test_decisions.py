"""The rule of verdicts at its borders."""

import pytest

from bench.answers.decisions import decide


@pytest.mark.parametrize(
    ("low", "high", "p", "null", "expected"),
    [
        (0.1, 2, 0.0499, 0, "supported"),
        (0.1, 2, 0.05, 0, "open"),
        (-2, -0.1, 0.0499, 0, "contradicted"),
        (-2, -0.1, 0.05, 0, "open"),
        (0, 2, 0.01, 0, "open"),
        (-2, 0, 0.01, 0, "open"),
        (-1.9, -0.1, 0.01, -2, "supported"),
        (-3, -2.1, 0.01, -2, "contradicted"),
        (-2.1, 1, 0.01, -2, "open"),
        (-1.9, 1.9, 0.01, -2, "supported"),
    ],
)
def test_a_difference_is_decided_below_five_per_cent_and_beside_the_null(low, high, p, null, expected):
    """With or without a test of equivalence that does not reject."""
    for p_within in (None, 1.0):
        decision = decide(low, high, p, null, p_within, 2.0)
        assert (decision.verdict, decision.p) == (expected, p)


@pytest.mark.parametrize(
    ("low", "high", "p_within", "expected"),
    [
        (-0.9, 0.9, 0.0499, "equivalent"),
        (-0.9, 0.9, 0.05, "open"),
        (-1.0, 0.9, 0.01, "open"),
        (-0.9, 1.0, 0.01, "open"),
        (-0.999, 0.999, 0.0, "equivalent"),
    ],
)
def test_equivalence_needs_a_p_value_and_an_interval_inside_the_margin(low, high, p_within, expected):
    decision = decide(low, high, 0.7, 0.0, p_within, 1.0)
    assert (decision.verdict, decision.p) == (expected, p_within)


def test_a_difference_within_the_margin_is_equivalent_whatever_its_direction():
    assert decide(0.1, 0.5, 0.001, 0.0, 0.002, 1.0).verdict == "equivalent"
    assert decide(-0.5, -0.1, 0.001, 0.0, 0.002, 1.0).verdict == "equivalent"
    assert decide(-0.5, -0.1, 0.001, 0.0, 0.06, 1.0).verdict == "contradicted"
    assert decide(0.5, 1.2, 0.001, 0.0, 0.002, 1.0).verdict == "supported", "part of the interval may matter"


def test_the_p_value_is_that_of_the_verdict_or_the_smaller_one_where_open():
    assert decide(0.1, 0.5, 0.001, 0.0, 0.002, 1.0).p == 0.002
    assert decide(1.1, 2.5, 0.001, 0.0, 0.9, 1.0).p == 0.001
    assert decide(-1.5, 1.2, 0.4, 0.0, 0.2, 1.0).p == 0.2 == decide(-1.5, 1.2, 0.2, 0.0, 0.4, 1.0).p
