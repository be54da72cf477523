"""Corrections for the number of comparisons, on cases worked by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.answers.families import corrected


def holm(p_values):
    return [row[0] for row in corrected([[p] for p in p_values])]


def test_holm_on_a_worked_example():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_holm_on_ties_and_where_a_later_product_is_smaller():
    """Of equal p-values all take the first one's factor; 0.024 times 2 is less than 0.021 times 3 before it."""
    assert holm([0.02, 0.02, 0.02]) == pytest.approx([0.06, 0.06, 0.06])
    assert holm([0.5, 0.02, 0.01, 0.02]) == pytest.approx([0.5, 0.06, 0.04, 0.06])
    assert holm([0.024, 0.021, 0.9]) == pytest.approx([0.063, 0.063, 0.9])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_largest_product_among_smaller_p_values(p):
    """Each p-value times how many are not smaller; a corrected one is the largest of those up to it, at most 1."""
    products = {value: min(1.0, value * sum(other >= value for other in p)) for value in p}
    expected = [max(product for other, product in products.items() if other <= value) for value in p]
    assert holm(p) == pytest.approx(expected)


def test_a_row_leaves_the_family_when_both_of_its_hypotheses_are_rejected():
    """Sorted 0.001 (row 0), 0.002 (row 0), 0.01 (row 1), 0.02 (row 2), 0.5, 0.9: factors 3, 3, 2, 2, 2, 1."""
    rows = [(0.001, 0.002), (0.01, 0.9), (0.5, 0.02)]
    assert corrected(rows) == [pytest.approx(row) for row in ([0.003, 0.006], [0.02, 1.0], [1.0, 0.04])]


def test_a_row_that_is_rejected_once_stays_in_the_family():
    """Else a question of two rows, decided by one hypothesis each, would test the second at the full five per cent."""
    assert corrected([(0.001, 1.0), (0.03, 1.0)]) == [pytest.approx([0.002, 1.0]), pytest.approx([0.06, 1.0])]
    assert corrected([(0.001,), (0.03,)]) == [[pytest.approx(0.002)], [pytest.approx(0.03)]]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_corrected_values_lie_between_the_p_values_and_bonferronis_and_keep_their_order(rows):
    found = [p for row in corrected(rows) for p in row]
    raw = [p for row in rows for p in row]
    assert all(p <= value <= min(1, len(rows) * p) + 1e-12 for p, value in zip(raw, found, strict=True))
    order = sorted(range(len(raw)), key=lambda index: raw[index])
    assert all(found[a] <= found[b] or raw[a] == raw[b] for a, b in pairwise(order))
