"""A tensor's place in the absolute network, and the powers of two that keep scores within the range of float64.

Every layer multiplies scores by its gain, beyond 10^308 in the deepest networks. So the forward pass estimates, per
tensor, how much scores grow between it and the input (``growth``), and derives from that a power of two (``level``) by
which the backward pass divides them. There is one level per tensor, so parallel branches stay comparable. Powers of two
cost no precision, and the estimate does not enter any score: it only has to be right within hundreds of bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

STEP = 64
"""Levels change in steps of this many bits, so that most operations need no scaling."""

LARGEST = 900
"""Scores up to this power of two are returned undivided."""


@dataclass(frozen=True, eq=False)
class Signal:
    """A tensor of the absolute network: its ``path``, the base-2 logarithm of its growth, and its level.

    The gradient that arrives at ``path`` is the true score times 2^(level - level of the final responses).
    """

    path: Tensor
    growth: float = 0.0
    level: int = 0


def grown(sources: Sequence[Signal], gain: float) -> tuple[float, int]:
    """Growth and level of a tensor that an operation with this gain makes from ``sources``."""
    gain = gain if math.isfinite(gain) else 1
    top = max(source.growth for source in sources)
    if gain > 0 and top > -math.inf:
        growth = top + math.log2(gain) + math.log2(sum(2 ** (source.growth - top) for source in sources))
    else:
        growth = -math.inf
    level = max(source.level for source in sources)
    return growth, STEP * math.floor(growth / STEP) if growth >= level + STEP else level


def undivided(signals: Sequence[Signal], final_level: int) -> list[float]:
    """Factors that turn the gradients at ``signals`` into scores.

    If scores exceed 2^900, those of all these signals are divided by the same power of two, to stay finite.
    """
    powers = [final_level - signal.level for signal in signals]
    excess = max(0, max(powers, default=0) - LARGEST)
    return [2.0 ** (power - excess) for power in powers]
