"""Selection: how many channels of each group stay, and which."""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from nisp.errors import UserError
from nisp.pruning.contract import Group, Scores


def kept_channels(scores: Tensor, keep: int) -> Tensor:
    """Indices, ascending, of the ``keep`` highest of ``scores``, shape (channels,); ties keep the lower index."""
    order = torch.argsort(scores, descending=True, stable=True)
    return torch.sort(order[:keep]).values


def select(scores: Scores, keep: Mapping[str, int]) -> dict[str, Tensor]:
    """Group name -> indices, ascending, of its ``keep`` highest scores."""
    return {name: kept_channels(scores[name].cpu(), count) for name, count in keep.items()}


def keep_plan(groups: tuple[Group, ...], ratio: float) -> dict[str, int]:
    """Group name -> channels to keep when the share ``ratio`` of them goes: to nearest, halves up, at least 1."""
    return {group.name: channels_left(group.channels, ratio) for group in groups}


def channels_left(channels: int, ratio: float, rounding: str = "nearest") -> int:
    """Channels to keep when the share ``ratio`` of them goes, at least 1; ``rounding`` is nearest (halves up) or down.

    The small constant is for products like 50 * (1 - 0.1), which in floating point are slightly below 45.
    """
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
