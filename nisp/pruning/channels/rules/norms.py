"""Norms: over each channel separately, or over several channels together."""

from typing import Any

import numpy as np
from torch import Tensor

from nisp.pruning.channels.ids import Ids, unique, varies
from nisp.pruning.channels.table import named, rule


@rule(*named("batch_norm instance_norm"))
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


@rule(*named("group_norm"))
def _normalised_in_groups(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    channels.fix(unique(input), "is normalised together with other channels")
    return input
