"""Finding a network's channels: a first pass, then trials with some channels removed, until what is left fits."""

import numpy as np
from torch import Tensor, nn

from bench.channels.trace import Trace, Unfit

SHARES = (0.5, 0.3)
"""Shares of the removable channels that go in the trials that must pass."""


def follow(model: nn.Module, example: Tensor) -> Trace:
    """The first pass, with all channels fixed that trials found to be counted on.

    ``model`` must be in eval mode; ``example`` is one input. Unfit if it cannot be followed, or no end is found.
    """
    first = Trace(model)
    first.run(model, example)
    rng = np.random.default_rng(0)
    shares = list(SHARES)
    while shares:
        trial = Trace(model, first, _some(first, shares[0], rng))
        try:
            trial.run(model, example)
        except Unfit:
            if not trial.stuck:
                raise
        else:
            shares.pop(0)
    return first


def _some(first: Trace, share: float, rng: np.random.Generator) -> np.ndarray:
    """Id -> is it left, when a share of the removable channels of each weight goes, but not all of any."""
    left = ~first.movable | (rng.random(len(first.movable)) > share)
    for ids in first.reads.values():
        if not left[first.labels[ids]].any():
            left[first.labels[ids[0]]] = True
    return left[first.labels]
