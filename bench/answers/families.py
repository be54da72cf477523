"""P-values of a family of comparisons, corrected for their number."""

from collections.abc import Sequence


def corrected(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Step-down corrected p-values: with probability 95 %, no true null hypothesis of the family is below 0.05.

    A row holds the p-values of one comparison, whose null hypotheses exclude each other: 'the difference is zero' and
    'it is at least the margin'. At most one of them is true, so at most one verdict of a row can be wrong, and a family
    of k rows holds at most k true hypotheses, not 2k. Going from the smallest p-value up, each is multiplied by the
    number of rows that still have a hypothesis not yet rejected (Shaffer 1986, procedure S2); a corrected p-value never
    falls below an earlier one and never exceeds 1. At the first false rejection every true hypothesis still stands, in
    a row of its own, so the factor is at least their number, and Bonferroni's inequality bounds the error.

    Holm's correction (1979) of the p-value that belongs to each row's verdict would be too bold: a row decided by one
    of its hypotheses would leave the family although the other one may be true and was tested too.

    With one p-value per row this is Holm's correction. Whether p-values depend on each other does not matter.
    """
    order = sorted((p, row, place) for row, values in enumerate(rows) for place, p in enumerate(values))
    standing = [len(values) for values in rows]
    factor, running = len(rows), 0.0
    results = [[1.0] * len(values) for values in rows]
    for p, row, place in order:
        running = max(running, min(1.0, factor * p))
        results[row][place] = running
        standing[row] -= 1
        factor -= standing[row] == 0
    return results
