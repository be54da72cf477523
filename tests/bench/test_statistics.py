import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.statistics import holm, paired_bootstrap


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    """400 samples of 8 seeds: a 95 % interval misses in 5 %, give or take the interval's own approximation."""
    rng = np.random.default_rng(0)
    hits = sum(r.low <= 1.0 <= r.high for r in (paired_bootstrap(rng.normal(1, 2, 8)) for _ in range(400)))
    assert 0.91 <= hits / 400 <= 0.99


def test_the_p_value_rejects_a_true_null_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    rejected = sum(paired_bootstrap(rng.normal(3, 1, 8), null=3).p < 0.05 for _ in range(400))
    assert rejected / 400 < 0.08


def test_with_many_seeds_it_agrees_with_the_t_test():
    values = np.random.default_rng(2).normal(0.3, 1, 60)
    result, t = paired_bootstrap(values), stats.ttest_1samp(values, 0)
    low, high = t.confidence_interval()
    assert result.mean == pytest.approx(values.mean())
    assert (result.low, result.high) == pytest.approx((low, high), abs=0.05)
    assert result.p == pytest.approx(t.pvalue, abs=0.02)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=10), st.floats(-5, 5))
def test_shifting_differences_and_null_alike_changes_nothing(values, shift):
    values = np.round(values, 3)
    first, second = paired_bootstrap(values), paired_bootstrap(values + shift, null=shift)
    assert first.low <= first.mean <= first.high and 0 < first.p <= 1
    assert second.mean - shift == pytest.approx(first.mean, abs=1e-6)
    if values.std() > 1e-3:
        assert (second.low - shift, second.high - shift) == pytest.approx((first.low, first.high), rel=1e-4, abs=1e-4)
        assert second.p == pytest.approx(first.p, abs=2e-3)


def test_equal_differences_fall_back_to_the_sign_test():
    same = paired_bootstrap([1.5] * 5)
    assert (same.low, same.mean, same.high) == (1.5, 1.5, 1.5) and same.p == 2 / 2**5
    assert paired_bootstrap([0.0] * 5).p == 1


def test_one_seed_is_not_a_comparison():
    with pytest.raises(ValueError, match="two seeds"):
        paired_bootstrap([1.0])


def test_the_same_differences_give_the_same_answer():
    assert paired_bootstrap([1, 2, 4, 3, 2]) == paired_bootstrap([1, 2, 4, 3, 2])


def test_holm_on_a_worked_example():
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_p_values_and_bonferroni(p):
    corrected = holm(p)
    assert all(a <= b <= min(1, len(p) * a) + 1e-12 for a, b in zip(p, corrected, strict=True))
