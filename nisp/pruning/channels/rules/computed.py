"""Linear layers and convolutions whose weight is no layer's own: computed, cast, transposed, tied, or a bare parameter.

Removing a channel is exact where it equals silencing the layers that read it, which is done in their own weights. So a
channel that such a weight reads can go if the weight is zero wherever a layer's own weight is; else it stays.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nisp.pruning.channels.ids import Ids, wrapped
from nisp.pruning.channels.table import opaque


def computed_linear(channels: Any, func: Any, input: Any, weight: Any, bias: Any) -> Any:
    """``input`` times a weight of shape (outputs, inputs) that is no linear layer's own."""
    if not isinstance(input, Ids) or isinstance(weight, Ids) or isinstance(bias, Ids) or weight.dim() != 2:
        return opaque(channels, func, input, weight, bias)
    cut = next(iter(channels.constants.along(weight, 1)), ("", 1))
    if channels.mixes_positions(cut, input, -1):
        return wrapped(input.narrow(-1, 0, 1).expand(*input.shape[:-1], weight.size(0)))
    read(channels, weight, 1, channels.column(input, -1))
    ids = _written(channels, weight, bias)
    return wrapped(torch.from_numpy(ids).to(input.device).expand(*input.shape[:-1], -1))


def computed_product(channels: Any, func: Any, input: Tensor, other: Tensor) -> Any:
    """``input @ other``, a weight of shape (inputs, outputs)."""
    cut = next(iter(channels.constants.along(other, 0)), ("", 1))
    if channels.mixes_positions(cut, input, -1):
        return wrapped(input.narrow(-1, 0, 1).expand(*input.shape[:-1], other.size(1)))
    read(channels, other, 0, channels.column(input, -1))
    ids = _written(channels, other, None, 1)
    return wrapped(torch.from_numpy(ids).to(input.device).expand(*input.shape[:-1], -1))


def computed_convolution(
    channels: Any, row: np.ndarray, weight: Tensor, bias: Tensor | None, groups: int
) -> np.ndarray:
    """Ids of the outputs of a convolution that reads the channels ``row``, one id per channel."""
    cut = next(iter(channels.constants.along(weight, 0)), None)
    if cut is not None and (multiple := channels.multiple(cut, weight, groups)) is not None:
        ids = row.repeat(multiple)
        for tensor in (weight, bias):
            if tensor is not None:
                channels.read_along(tensor, 0, ids)
        return ids
    for part in row.reshape(groups, -1):
        read(channels, weight, 1, part)
    ids = _written(channels, weight, bias)
    outputs = ids.reshape(groups, -1)
    for part in outputs[1:]:
        channels.tie(outputs[0], part)
    return ids


def read(channels: Any, weight: Tensor, dim: int, ids: np.ndarray) -> None:
    """A weight reads the channels ``ids`` along ``dim``."""
    channels.read_along(weight, dim, ids)
    if not channels.constants.silent(weight, dim):
        bare = channels.names.of(weight) is not None
        what = "a weight that is not a layer's own" if bare else "a weight that the network computes"
        channels.fix(ids, f"is read by {what}")


def _written(channels: Any, weight: Tensor, bias: Tensor | None, dim: int = 0) -> np.ndarray:
    """Ids of the outputs, which lie along ``dim`` of the weight."""
    cuts = channels.constants.along(weight, dim)
    ids = channels.write(cuts[0], weight.size(dim)) if cuts else np.zeros(weight.size(dim), dtype=np.int64)
    for cut in cuts[1:]:
        channels.read(cut, ids)
    if bias is not None:
        channels.read_along(bias, 0, ids)
    return ids
