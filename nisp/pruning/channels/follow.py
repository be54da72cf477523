"""Finding a network's channels: a first pass, then trial removals, fixing channels until the trials pass."""

import contextlib
from collections.abc import Iterator

import numpy as np
from torch import nn

from nisp.pruning.channels.choices import Site
from nisp.pruning.channels.passes import ChannelPass
from nisp.pruning.channels.ties import FIXED, Unfit
from nisp.pruning.inputs import Inputs
from nisp.pruning.undisturbed import undisturbed

SHARES = (0.5, 0.3)
"""Shares of the removable channels that the trials remove; all trials must pass, and one that removes all others."""

MOST_WAYS = 8
"""Most other combinations of ways that are tried."""


def follow(model: nn.Module, example: Inputs) -> ChannelPass:
    """The first pass, in which all channels are fixed that a trial could not remove.

    Where a line of the network's code can be meant in several ways (`nisp.pruning.channels.choices`), the ways are
    taken with which most channels can go. ``model`` is left as it was; ``example`` is one input. Unfit if the
    network cannot be followed, or if a trial fails and no more channels can be fixed.
    """
    best = _tried(model, example, {})
    others = _others(best)
    for _ in range(MOST_WAYS):
        picks = next(others, None)
        if picks is None:
            break
        with contextlib.suppress(Unfit):
            other = _tried(model, example, picks)
            if other.removable().sum() > best.removable().sum():
                best, others = other, _others(other)
    return best


def _others(found: ChannelPass) -> Iterator[dict[Site, int]]:
    fixed = ~found.removable()
    fixed[FIXED] = False
    return found.choices.others(fixed)


def _tried(model: nn.Module, example: Inputs, picks: dict[Site, int]) -> ChannelPass:
    """The first pass with these ways, after trial removals."""
    first = ChannelPass(model)
    first.choices.picks = picks
    with undisturbed(model):  # each pass by itself, so that none finds what another one left in a cache
        first.run(model, example)
    rng = np.random.default_rng(0)
    shares = list(SHARES)
    gone = ~first.movable
    while shares or not gone.all():
        chosen = rng.random(len(gone)) < shares[0] if shares else ~gone
        left = _left(first, chosen)
        if not shares and gone[~left].all():  # the rest are last channels of their layers
            break
        trial = ChannelPass(model, first, left[first.labels])
        try:
            with undisturbed(model):
                trial.run(model, example)
        except Unfit:
            if not trial.stuck:
                raise
        else:
            gone |= ~left
            shares = shares[1:]
        gone |= ~first.movable
    return first


def _left(first: ChannelPass, chosen: np.ndarray) -> np.ndarray:
    """Bool per label, True if it is left: those ``chosen`` go that may be removed, never all inputs of a weight."""
    left = ~(first.movable & chosen)
    for ids in first.reads.values():
        if not left[first.labels[ids]].any():
            left[first.labels[ids[0]]] = True
    return left
