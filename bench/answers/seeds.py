"""How many seeds would decide what is open."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import nct
from scipy.stats import t as student

from bench.answers.decisions import LEVEL

POWER = 0.8
MOST = 1000


def seeds_needed(
    mean: float, spreads: Sequence[float], present: int, null: float, margin: float | None, rows: int
) -> int | None:
    """Seeds per setting with which a verdict is reached in 80 % of repetitions; None if more than 1000 are needed.

    Assumes that the true difference is ``mean`` and that of one seed in each setting scatters with the standard
    deviation in ``spreads``, both as observed; where the difference is overestimated, so is the power. The number is
    more than ``present``, and holds for whichever verdict needs fewer seeds: 'the difference is not ``null``', or, with
    a ``margin``, 'it is less than the margin'. ``rows`` comparisons share the error of 5 %, 5 % / rows each. Where no
    setting has any spread, it is the number with which the sign test decides.
    """
    counts = np.arange(present + 1, MOST + 1)
    if not any(spreads):
        decidable = mean != null or (margin is not None and abs(mean) < margin)
        enough = counts[decidable & (rows * 2.0 ** (1 - counts) < LEVEL)]
        return int(enough[0]) if len(enough) else None
    power = power_of_difference(mean - null, spreads, counts, LEVEL / rows)
    if margin is not None:
        power = np.maximum(power, power_of_equivalence(mean, margin, spreads, counts, LEVEL / rows))
    enough = counts[power >= POWER]
    return int(enough[0]) if len(enough) else None


def power_of_difference(
    difference: float, spreads: Sequence[float], counts: np.ndarray, level: float = LEVEL
) -> np.ndarray:
    """Probability of a two-sided t-test to find ``difference`` with the right sign, for each number of seeds.

    Noncentral t with Welch and Satterthwaite's degrees of freedom.
    """
    error, degrees = _error(spreads, counts)
    return nct.sf(student.isf(level / 2, degrees), degrees, abs(difference) / error)


def power_of_equivalence(
    difference: float, margin: float, spreads: Sequence[float], counts: np.ndarray, level: float = LEVEL
) -> np.ndarray:
    """Probability of two one-sided t-tests to find that ``difference`` is within the margin, for each number of seeds.

    Each test has the level ``level``, and at most 2.5 %, because the 95 % interval must be within the margin too. The
    usual approximation by Student's t (Phillips 1990), which takes the standard error as known.
    """
    error, degrees = _error(spreads, counts)
    critical = student.isf(min(level, LEVEL / 2), degrees)
    below, above = ((margin + sign * difference) / error - critical for sign in (1, -1))
    return np.maximum(0.0, student.cdf(below, degrees) + student.cdf(above, degrees) - 1)


def _error(spreads: Sequence[float], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard error of the mean over settings with so many seeds in each, and its degrees of freedom."""
    squares = np.square(spreads)
    error = np.sqrt(squares.sum() / counts) / len(squares)
    return error, (counts - 1) * squares.sum() ** 2 / np.square(squares).sum()
