"""Means over settings with seeds and spreads of their own, against calculations written out."""

import statistics
from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from bench.answers.statistics import paired_bootstrap, stratified

SETTINGS = ([1.0, 2.0, 3.0, 4.0], [10.0, 10.5, 11.0, 12.5, 11.0], [-2.0, 4.0])
"""Means 2.5, 11 and 1; variances 5/3, 0.875 and 18; so 5/12, 0.175 and 9 over the number of seeds."""


def test_mean_standard_error_and_degrees_of_freedom_worked_by_hand():
    found = stratified(SETTINGS)
    assert found.mean == pytest.approx((2.5 + 11 + 1) / 3) and found.n == 2
    total = 5 / 12 + 0.175 + 9
    assert found.error == pytest.approx(sqrt(total) / 3)
    assert found.degrees == pytest.approx(total**2 / ((5 / 12) ** 2 / 3 + 0.175**2 / 4 + 9**2 / 1))
    assert found.spreads == pytest.approx((sqrt(5 / 3), sqrt(0.875), sqrt(18)))


def resampled(settings, seed=0, resamples=9999):
    """The studentised mean of each resample, one after another, in the units of the differences."""
    rng = np.random.default_rng(seed)
    drawn = [(rng.integers(0, len(s), (resamples, len(s))), rng.standard_normal((resamples, len(s)))) for s in settings]
    t = []
    for index in range(resamples):
        moved, squares = 0.0, 0.0
        for values, (indices, noise) in zip(settings, drawn, strict=True):
            n, mean, spread = len(values), statistics.fmean(values), statistics.stdev(values)
            width = 1.06 / n ** (1 / 5)
            picked = [values[i] + width * spread * z for i, z in zip(indices[index], noise[index], strict=True)]
            sample = [mean + (value - mean) / sqrt(1 + width**2) for value in picked]
            moved += statistics.fmean(sample) - mean
            squares += statistics.variance(sample) / n
        t.append(moved / sqrt(squares))
    return np.array(t)


def test_interval_and_p_values_are_those_of_a_plain_calculation():
    settings = SETTINGS[:2]
    found, t = stratified(settings, resamples=999), resampled(settings, resamples=999)
    mean, error = 6.75, sqrt(5 / 12 + 0.175) / 2
    degrees = (5 / 12 + 0.175) ** 2 / ((5 / 12) ** 2 / 3 + 0.175**2 / 4)
    least = stats.t.ppf(0.975, degrees)
    assert found.low == pytest.approx(mean - max(np.quantile(t, 0.975), least) * error)
    assert found.high == pytest.approx(mean - min(np.quantile(t, 0.025), -least) * error)
    for value in (5.0, 6.0, 6.6, 7.0, 8.5):
        observed = (mean - value) / error
        above = max((1 + (t >= observed).sum()) / 1000, stats.t.sf(observed, degrees))
        below = max((1 + (t <= observed).sum()) / 1000, stats.t.cdf(observed, degrees))
        assert found.p_above(value) == pytest.approx(above) and found.p_below(value) == pytest.approx(below)
        assert found.p_differs(value) == pytest.approx(min(1, 2 * min(above, below)))


def test_two_one_sided_tests_take_the_larger_p_value():
    found = stratified(SETTINGS[:2])
    for margin in (6.0, 7.0, 8.5, 12.0):
        assert found.p_within(margin) == max(found.p_above(-margin), found.p_below(margin))
    assert found.p_within(6.0) > 0.5 > 0.05 > found.p_within(12.0)


def test_equivalence_agrees_with_two_t_tests_where_seeds_are_many():
    values = np.random.default_rng(3).normal(0.2, 1, 80)
    for margin in (0.3, 0.4, 0.5):
        tests = (
            stats.ttest_1samp(values, -margin, alternative="greater"),
            stats.ttest_1samp(values, margin, alternative="less"),
        )
        assert paired_bootstrap(values).p_within(margin) == pytest.approx(max(t.pvalue for t in tests), abs=0.01)


def test_one_setting_is_the_paired_bootstrap_without_students_bound():
    one, same = stratified([[0.4, -1.1, 2.5, 0.9, 3.0]], seed=4), paired_bootstrap([0.4, -1.1, 2.5, 0.9, 3.0], seed=4)
    assert one == same and one.degrees == inf


@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e6])
def test_the_interval_of_several_settings_is_no_shorter_than_welchs(factor):
    rng = np.random.default_rng(0)
    for _ in range(20):
        found = stratified([factor * s * rng.standard_normal(5) for s in (1, 3, 10)], resamples=199)
        half = stats.t.ppf(0.975, found.degrees) * found.error * (1 - 1e-12)
        assert found.low <= found.mean - half and found.high >= found.mean + half
        assert found.p_differs(0) >= 2 * stats.t.sf(abs(found.mean) / found.error, found.degrees) * (1 - 1e-12)


def test_settings_without_spread_count_in_the_mean_and_not_in_the_error():
    found = stratified([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0]])
    assert found.mean == 3.5 and found.error == pytest.approx(sqrt(1 / 3) / 2) and found.spreads[1] == 0
    assert found.degrees == pytest.approx(2)
    alike = stratified([[1.0] * 3, [2.0] * 5])
    assert (alike.low, alike.mean, alike.high, alike.p_differs(0)) == (1.5, 1.5, 1.5, 2 / 2**3)


def test_each_setting_counts_the_same_however_many_seeds_it_has():
    assert stratified([[0.0, 2.0], [4.0, 6.0] * 10]).mean == 3.0


def test_every_setting_needs_two_seeds():
    for few in ([], [[1.0, 2.0], [1.0]], [[], [1.0, 2.0]]):
        with pytest.raises(ValueError, match="two seeds"):
            stratified(few)
