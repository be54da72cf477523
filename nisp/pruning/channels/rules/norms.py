"""Norms: over each channel separately, or over several channels together."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nisp.pruning.channels.ids import Ids, unique, varies
from nisp.pruning.channels.table import named, opaque, rule


@rule(*named("batch_norm"), F.instance_norm)
def normalised_by_channel(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Each channel has its own statistics and parameters, which are removed with it."""
    row = channels.column(input, 1)
    for tensor in [*args, *kwargs.values()]:
        if isinstance(tensor, Ids):  # statistics that another part of the network computes
            channels.fix(np.concatenate([unique(tensor), row]), "is normalised by what the network computes")
        elif isinstance(tensor, Tensor):
            channels.read_along(tensor, 0, row)
    return input


@rule(*named("layer_norm rms_norm"))
def _normalised_together(
    channels: Any, func: Any, input: Tensor, normalized_shape: Any, *args: Any, **kw: Any
) -> Tensor:
    if any(varies(input, d) for d in range(-len(normalized_shape), 0)):
        channels.fix(unique(input), "is normalised together with other channels")
    return input


@rule(F.group_norm)
def _normalised_in_groups(
    channels: Any,
    func: Any,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The channels of one group of a group norm are removed together; its module then has fewer groups."""
    owner = channels.names.owners.get(channels.names.of(weight))
    if num_groups == 1 or not isinstance(owner, nn.GroupNorm) or owner.num_groups != num_groups:
        channels.fix(unique(input), "is normalised together with other channels")
        return input
    row, cut = channels.column(input, 1), (channels.names.of(weight), 0)
    if channels.first is None:
        groups = row.reshape(num_groups, -1)
        for place in range(1, groups.shape[1]):
            channels.tie(groups[:, 0], groups[:, place])
    elif not channels.in_order(cut, row):
        channels.fix(row, "is normalised together with other channels once pruned")
    for tensor in (weight, bias):
        if tensor is not None:
            channels.read_along(tensor, 0, row)
    return input


@rule(torch.group_norm, torch.instance_norm)
def _normalised_by_another_call(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    return opaque(channels, func, input, *args, **kwargs)
