"""A tensor's place in the absolute network, and the powers of two that keep scores within the range of float64.

Scores grow by the gain of every layer: beyond 10^308 in the deepest networks. So the forward pass estimates, for each
tensor, how much scores grow between it and the input (``growth``), and the backward pass holds them divided by a power
of two that follows (``level``), which is one for each tensor, so that parallel branches stay comparable. Powers of two
cost no precision, and the estimate is no part of any score: it only has to be right within hundreds of bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

STEP = 64
"""Levels change in steps of so many bits: most operations need no scaling."""

LARGEST = 900
"""Scores are given undivided up to this power of two."""


@dataclass(frozen=True, eq=False)
class Signal:
    """Tensor of the absolute network: its ``path``, the logarithm of its growth, and its level, both to base 2.

    The gradient that arrives at ``path`` is the true score, times 2^(level - level of the final responses).
    """

    path: Tensor
    growth: float = 0.0
    level: int = 0


def grown(sources: Sequence[Signal], gain: float) -> tuple[float, int]:
    """Growth and level of a tensor that is made of ``sources`` by an operation of the given gain."""
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

    Where scores exceed 2^900, all of these signals' are divided by the same power of two, to stay finite.
    """
    powers = [final_level - signal.level for signal in signals]
    excess = max(0, max(powers, default=0) - LARGEST)
    return [2.0 ** (power - excess) for power in powers]
