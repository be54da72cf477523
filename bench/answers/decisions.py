"""From an estimate and its corrected p-values to a verdict."""

from dataclasses import dataclass

from bench.answers.tables import KINDS

LEVEL = 0.05
SUPPORTED, CONTRADICTED, EQUIVALENT, OPEN = KINDS


@dataclass(frozen=True)
class Decision:
    """A verdict, and the corrected p-value that belongs to it; of an open row, the smaller one."""

    verdict: str
    p: float


def decide(low: float, high: float, p_differs: float, null: float, p_within: float | None, margin: float) -> Decision:
    """The verdict on a claim; differences are positive in favour of the subject, [low, high] is their 95 % interval.

    ``p_differs`` is the corrected p-value of 'the difference is ``null``' and ``p_within`` that of 'it is ``margin`` or
    more, in either direction', or None where equivalence is not asked about. A verdict needs both, a p-value below 0.05
    and the whole interval where the verdict says that the difference is:

    equivalent    between minus the margin and the margin
    supported     above the null value
    contradicted  below it
    open          neither

    A difference can be shown to be in one direction and to be within the margin. The verdict is then 'equivalent': the
    margin was declared as the difference up to which methods are as good as each other, and the direction can be read
    from the interval, which is always printed. So 'supported' and 'contradicted' mean a difference that may matter.
    """
    if p_within is not None and p_within < LEVEL and -margin < low and high < margin:
        return Decision(EQUIVALENT, p_within)
    if p_differs < LEVEL and low > null:
        return Decision(SUPPORTED, p_differs)
    if p_differs < LEVEL and high < null:
        return Decision(CONTRADICTED, p_differs)
    return Decision(OPEN, p_differs if p_within is None else min(p_differs, p_within))
