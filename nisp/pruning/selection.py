"""Selection: how many channels of each group stay, and which."""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from numbers import Integral, Real

import torch
from torch import Tensor

from nisp.errors import UserError
from nisp.pruning.contract import Group, Scores


def kept_channels(scores: Tensor, keep: int) -> Tensor:
    """Indices, ascending, of the ``keep`` highest of ``scores``, shape (channels,); ties keep the lower index.

    UserError unless there is one score per channel, and at least one and at most all of them are to be kept.
    """
    return _highest(scores, keep, "channels")


def select(scores: Scores, keep: Mapping[str, int]) -> dict[str, Tensor]:
    """Group name -> indices, ascending, of its ``keep`` highest scores. UserError as for `kept_channels`."""
    missing = [name for name in keep if name not in scores]
    if missing:
        raise UserError(f"there are no scores for the group {missing[0]!r}: there are scores for {', '.join(scores)}")
    return {name: _highest(scores[name], count, f"channels of '{name}'").cpu() for name, count in keep.items()}


def _highest(scores: Tensor, keep: int, channels: str) -> Tensor:
    if not isinstance(scores, Tensor) or scores.dim() != 1:
        kind = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"class {type(scores).__name__}"
        raise UserError(f"the scores of the {channels} are of {kind}: give a tensor, one score per channel")
    if isinstance(keep, bool) or not isinstance(keep, Integral) or not 1 <= keep <= len(scores):
        raise UserError(f"{keep!r} of {len(scores)} {channels} cannot be kept: give an integer from 1 to {len(scores)}")
    order = torch.argsort(scores.detach(), descending=True, stable=True)
    return torch.sort(order[:keep]).values


def checked_ratio(ratio: float, what: str = "the ratio", most: bool = False) -> float:
    """The same ratio; UserError, which calls it ``what``, unless it is a number from 0 to below 1; ``most``: to 1."""
    number = isinstance(ratio, Real) and not isinstance(ratio, bool)
    if not (number and (0 <= ratio < 1 or (most and ratio == 1))):
        raise UserError(f"{what} is {ratio!r}: it must be at least 0 and {'at most' if most else 'less than'} 1")
    return ratio


def keep_plan(groups: Sequence[Group], ratio: float) -> dict[str, int]:
    """Group name -> channels to keep when the share ``ratio`` of them goes: to nearest, halves up, at least 1.

    UserError unless 0 <= ratio < 1.
    """
    checked_ratio(ratio)
    return {group.name: channels_left(group.channels, ratio) for group in groups}


def channels_left(channels: int, ratio: float, rounding: str = "nearest") -> int:
    """Channels to keep when the share ``ratio`` of them goes, at least 1; ``rounding`` is nearest (halves up) or down.

    The small constant is for products like 50 * (1 - 0.1), which in floating point are slightly below 45. UserError
    unless 0 <= ratio <= 1.
    """
    checked_ratio(ratio, most=True)
    return max(1, math.floor(channels * (1 - ratio) + (0.5 if rounding == "nearest" else 0) + 1e-9))


def factors_by_layer(groups: Sequence[Group], layers: Mapping[str, float]) -> dict[str, float]:
    """Group name -> the factor of the last pattern that matches one of its layers, or 0.

    All layers of a group lose the same channels, so one matching layer is enough. UserError for a pattern that matches
    no layer of any group.
    """
    names = [producer.name for group in groups for producer in group.producers]
    for pattern in layers:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"no layer that can be pruned matches '{pattern}' "
                f"(there are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"
            )
    return {group.name: _factor(group, layers) for group in groups}


def _factor(group: Group, layers: Mapping[str, float]) -> float:
    matching = [
        factor
        for pattern, factor in layers.items()
        if any(fnmatchcase(producer.name, pattern) for producer in group.producers)
    ]
    return matching[-1] if matching else 0.0
