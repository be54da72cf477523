"""Finding a network's channels: a first pass, then trial removals, fixing channels until the trials pass."""

import numpy as np
from torch import nn

from nisp.pruning.channels.passes import ChannelPass, Unfit
from nisp.pruning.inputs import Inputs

SHARES = (0.5, 0.3)
"""Shares of the removable channels that the trials remove; all trials must pass."""


def follow(model: nn.Module, example: Inputs) -> ChannelPass:
    """The first pass, in which all channels are fixed that a trial could not remove.

    ``model`` must be in eval mode; ``example`` is one input. Unfit if the network cannot be followed, or if a trial
    fails and no more channels can be fixed.
    """
    first = ChannelPass(model)
    first.run(model, example)
    rng = np.random.default_rng(0)
    shares = list(SHARES)
    while shares:
        trial = ChannelPass(model, first, _some(first, shares[0], rng))
        try:
            trial.run(model, example)
        except Unfit:
            if not trial.stuck:
                raise
        else:
            shares.pop(0)
    return first


def _some(first: ChannelPass, share: float, rng: np.random.Generator) -> np.ndarray:
    """Bool per id, True if it is left: about ``share`` of the removable channels go, never all inputs of a weight."""
    left = ~first.movable | (rng.random(len(first.movable)) > share)
    for ids in first.reads.values():
        if not left[first.labels[ids]].any():
            left[first.labels[ids[0]]] = True
    return left[first.labels]
