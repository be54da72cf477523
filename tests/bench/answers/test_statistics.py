import statistics
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.answers.statistics import paired_bootstrap


def by_hand(values, null=0.0, level=0.95, seed=0):
    """The interval and the p-value one resample after another, in the units of the differences.

    A resample draws differences, moves each by a Gaussian of the bandwidth 1.06 n^(-1/5) standard deviations, and
    shrinks all of them towards the mean so that their variance stays.
    """
    n, mean, spread = len(values), statistics.fmean(values), statistics.stdev(values)
    rng = np.random.default_rng(seed)
    drawn, noise = rng.integers(0, n, (9999, n)).tolist(), rng.standard_normal((9999, n)).tolist()
    width = 1.06 / n ** (1 / 5)
    t = []
    for indices, moves in zip(drawn, noise, strict=True):
        moved = [values[index] + width * spread * move for index, move in zip(indices, moves, strict=True)]
        sample = [mean + (value - mean) / sqrt(1 + width**2) for value in moved]
        t.append((statistics.fmean(sample) - mean) / (statistics.stdev(sample) / sqrt(n)))
    t.sort()
    error = spread / sqrt(n)

    def quantile(share):
        below, part = divmod(share * (len(t) - 1), 1)
        return t[int(below)] + part * (t[int(below) + 1] - t[int(below)])

    observed = (mean - null) / error
    beyond = min(sum(value >= observed for value in t), sum(value <= observed for value in t))
    tails = (1 - level) / 2
    return mean - quantile(1 - tails) * error, mean - quantile(tails) * error, 2 * (beyond + 1) / 10_000


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([0.4, -1.1, 2.5, 0.9, 3.0], {}),
        ([0.4, -1.1, 2.5, 0.9, 3.0, 1.5, 0.1, 0.2], {"null": -1.0}),
        ([-7.0, -6.5, -8.5, -7.5, -6.0], {"null": -7.5}),
        ([1e-3, 3e-3, 2e-3, 2.5e-3], {"level": 0.8, "seed": 3}),
        ([100.0, 101.5], {"null": 100.1}),
    ],
)
def test_interval_and_p_value_are_those_of_a_plain_calculation(values, options):
    null = options.pop("null", 0.0)
    result, (low, high, p) = paired_bootstrap(values, **options), by_hand(values, null, **options)
    assert (result.n, result.mean) == (len(values), pytest.approx(statistics.fmean(values)))
    assert (result.low, result.high) == pytest.approx((low, high), rel=1e-9)
    assert result.p_differs(null) == pytest.approx(p, rel=1e-9)


def test_no_p_value_is_smaller_than_the_number_of_resamples_allows():
    """Of 9999 resamples none is as extreme; the observed one counts as one of 10,000, at either end."""
    far = [50.0, 50.1, 50.2, 49.9, 50.05]
    assert paired_bootstrap(far).p_differs(0) == 2 / 10_000 == paired_bootstrap(far).p_differs(100)
    assert paired_bootstrap(far).p_above(0) == 1 / 10_000 and paired_bootstrap(far).p_below(0) == 1


def test_a_p_value_does_not_depend_on_the_sign():
    values = np.array([0.4, -1.1, 2.5, 0.9, 3.0, 1.5])
    one, other = paired_bootstrap(values), paired_bootstrap(-values)
    assert one.p_differs(0) == pytest.approx(other.p_differs(0), abs=0.01)
    assert one.p_differs(1) == pytest.approx(other.p_differs(-1), abs=0.02)


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize(("shape", "mean"), [("standard_normal", 0), ("uniform", 0.5), ("exponential", 1)], ids=str)
def test_intervals_cover_and_p_values_reject_about_as_often_as_they_say(n, shape, mean):
    """In 300 samples of so few seeds; for a skewed distribution both are too bold, by a known amount."""
    rng = np.random.default_rng(0)
    draw = (lambda: rng.exponential(1, n)) if shape == "exponential" else (lambda: getattr(rng, shape)(size=n))
    results = [paired_bootstrap(draw()) for _ in range(300)]
    covered = sum(r.low <= mean <= r.high for r in results) / 300
    rejected = sum(r.p_differs(mean) < 0.05 for r in results) / 300
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
    assert result.p_differs(0) == pytest.approx(t.pvalue, abs=0.02)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=10), st.floats(-5, 5))
def test_shifting_differences_and_null_alike_changes_nothing(values, shift):
    values = np.round(values, 3)
    first, second = paired_bootstrap(values), paired_bootstrap(values + shift)
    assert first.low <= first.mean <= first.high and 0 < first.p_differs(0) <= 1
    assert second.mean - shift == pytest.approx(first.mean, abs=1e-6)
    if values.std() > 1e-3:
        assert (second.low - shift, second.high - shift) == pytest.approx((first.low, first.high), rel=1e-4, abs=1e-4)
        assert second.p_differs(shift) == pytest.approx(first.p_differs(0), abs=2e-3)


def test_equal_differences_fall_back_to_the_sign_test():
    same = paired_bootstrap([1.5] * 5)
    assert (same.low, same.mean, same.high) == (1.5, 1.5, 1.5) and same.p_differs(0) == 2 / 2**5
    assert paired_bootstrap([0.0] * 5).p_differs(0) == 1
    assert same.p_differs(1.5) == 1 == same.p_above(1.5) == same.p_below(1.5)
    assert paired_bootstrap([1.5] * 3).p_differs(-1) == 2 / 2**3 == paired_bootstrap([-1.5] * 3).p_differs(0)
    assert (same.p_above(1), same.p_below(1), same.p_below(2)) == (1 / 2**5, 1, 1 / 2**5)
    assert (same.p_within(2), same.p_within(1.5), same.p_within(1)) == (1 / 2**5, 1, 1)


@pytest.mark.parametrize(("step", "equal"), [(0.9e-12, True), (1.1e-12, False)])
def test_differences_are_equal_where_they_differ_by_rounding_alone(step, equal):
    """By a millionth of a millionth: of 1, or of their mean where that is larger; from the null value too."""
    for mean, scale in ((0.0, 1), (0.5, 1), (-(2.0**30), 2.0**30)):
        result = paired_bootstrap([mean - scale * step, mean, mean + scale * step])
        assert (result.low == result.high) == equal, mean
    same = paired_bootstrap([step] * 4)
    assert same.p_differs(0) == (1 if equal else 2 / 2**4) == paired_bootstrap([-step] * 4).p_differs(0)


def test_one_seed_is_not_a_comparison():
    for few in ([], [1.0]):
        with pytest.raises(ValueError, match="two seeds"):
            paired_bootstrap(few)
    assert paired_bootstrap([1.0, 2.0]).n == 2


def test_the_same_differences_give_the_same_answer():
    assert paired_bootstrap([1, 2, 4, 3, 2]) == paired_bootstrap([1, 2, 4, 3, 2])
