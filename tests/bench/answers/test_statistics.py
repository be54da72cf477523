import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.answers.statistics import holm, paired_bootstrap


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize(("shape", "mean"), [("standard_normal", 0), ("uniform", 0.5), ("exponential", 1)], ids=str)
def test_intervals_cover_and_p_values_reject_about_as_often_as_they_say(n, shape, mean):
    """In 300 samples of so few seeds; for a skewed distribution both are too bold, by a known amount."""
    rng = np.random.default_rng(0)
    draw = (lambda: rng.exponential(1, n)) if shape == "exponential" else (lambda: getattr(rng, shape)(size=n))
    results = [paired_bootstrap(draw(), null=mean) for _ in range(300)]
    covered = sum(r.low <= mean <= r.high for r in results) / 300
    rejected = sum(r.p < 0.05 for r in results) / 300
    least = 0.86 if shape == "exponential" else 0.91
    assert least <= covered <= 0.985 and 0.015 <= rejected <= 1 - least


def test_few_values_do_not_give_an_endless_interval():
    """Where 8 of 10 resamples repeat values, the interval stays near Student's."""
    values = [-0.3, -0.2, -0.06, 0.1, 5.0]
    result, t = paired_bootstrap(values), stats.ttest_1samp(values, 0).confidence_interval()
    assert result.high - result.low < 1.5 * (t.high - t.low)


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
