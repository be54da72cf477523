"""How many seeds an open row needs, against power calculations of other software and by hand."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats

from bench.answers.seeds import power_of_difference, power_of_equivalence, seeds_needed


@pytest.mark.parametrize(("effect", "level", "n"), [(0.5, 0.05, 34), (0.8, 0.05, 15), (1.0, 0.01, 16)])
def test_a_paired_t_test_needs_what_the_tables_say(effect, level, n):
    """Cohen's d of 0.5 and 0.8 at 5 % need 34 and 15 pairs for 80 % power (G*Power); with rows, 5 % is shared."""
    rows = round(0.05 / level)
    assert seeds_needed(effect, (1.0,), 2, 0.0, None, rows) == n == seeds_needed(-effect, (1.0,), 2, 0.0, None, rows)
    assert seeds_needed(5 + 3 * effect, (3.0,), 2, 5.0, None, rows) == n


def test_the_power_of_a_difference_is_that_of_the_noncentral_t():
    found = power_of_difference(1.5, (1.0, 2.0, 2.0), np.array([6, 10]))
    for n, power in zip((6, 10), found, strict=True):
        error, degrees = sqrt(9 / n) / 3, (n - 1) * 81 / (1 + 16 + 16)
        assert power == pytest.approx(stats.nct.sf(stats.t.ppf(0.975, degrees), degrees, 1.5 / error))


def test_the_power_of_equivalence_worked_by_hand():
    """One setting, spread 1, 16 seeds: error 1/4, 15 degrees; margin 1, difference 0.2: at 3.2 and 4.8 errors."""
    [power] = power_of_equivalence(0.2, 1.0, (1.0,), np.array([16]), 0.05)
    critical = stats.t.ppf(0.975, 15)
    assert power == pytest.approx(stats.t.cdf(3.2 - critical, 15) + stats.t.cdf(4.8 - critical, 15) - 1)
    [strict] = power_of_equivalence(-0.2, 1.0, (1.0,), np.array([16]), 0.01)
    critical = stats.t.ppf(0.99, 15)
    assert strict == pytest.approx(stats.t.cdf(3.2 - critical, 15) + stats.t.cdf(4.8 - critical, 15) - 1)
    assert power_of_equivalence(2.0, 1.0, (1.0,), np.array([4, 400])) == pytest.approx([0, 0])


def test_the_number_is_that_of_the_verdict_which_needs_fewer():
    far, near = (seeds_needed(mean, (1.0, 2.0), 3, 0.0, 1.0, 2) for mean in (2.0, 0.1))
    assert far == seeds_needed(2.0, (1.0, 2.0), 3, 0.0, None, 2) and near < seeds_needed(
        0.1, (1.0, 2.0), 3, 0.0, 0.8, 2
    )
    counts = np.arange(2, 100)
    power = power_of_equivalence(0.1, 1.0, (1.0, 2.0), counts, 0.025)
    assert near == counts[power >= 0.8][0]


def test_the_number_is_more_than_there_are_and_at_most_1000():
    assert seeds_needed(9.0, (1.0,), 8, 0.0, 1.0, 1) == 9
    assert seeds_needed(0.1, (1.0,), 8, 0.0, None, 1) == 787
    assert seeds_needed(0.088, (1.0,), 8, 0.0, None, 1) is None
    assert seeds_needed(0.0, (1.0,), 8, 0.0, None, 1) is None
    assert seeds_needed(1.0, (1.0,), 8, 0.0, 1.0, 1) == 10, "at the margin it is a difference"


def test_without_spread_the_sign_test_decides():
    """2 / 2^n below 5 % over the number of rows: 6 seeds for one row, 7 for three."""
    assert seeds_needed(1.0, (0.0, 0.0), 3, 0.0, 0.5, 1) == 6
    assert seeds_needed(1.0, (0.0, 0.0), 3, 0.0, 0.5, 3) == 7
    assert seeds_needed(0.0, (0.0,), 3, 0.0, 0.5, 1) == 6
    assert seeds_needed(0.0, (0.0,), 3, 0.0, None, 1) is None
    assert seeds_needed(-1.0, (0.0,), 3, -1.0, None, 1) is None
