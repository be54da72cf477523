"""Layers that write and read channels: linear, convolution, transposed convolution, pooling."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from nisp.pruning.channels.ids import Ids, wrapped
from nisp.pruning.channels.rules.computed import computed_convolution, computed_linear
from nisp.pruning.channels.table import named, opaque, rule
from nisp.pruning.layer_weights import TRANSPOSED


@rule(F.linear)
def _linear(channels: Any, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    name = _layer(channels, input, weight, bias, nn.Linear)
    if name is None:
        return computed_linear(channels, func, input, weight, bias)
    if channels.mixes_positions((name, 1), input, -1):
        return wrapped(input.narrow(-1, 0, 1).expand(*input.shape[:-1], weight.size(0)))
    channels.read((name, 1), channels.column(input, -1))
    return wrapped(_written(channels, name, weight, bias, input.device).expand(*input.shape[:-1], -1))


def _layer(channels: Any, input: Any, weight: Any, bias: Any, kind: type | tuple[type, ...]) -> str | None:
    """Name of the weight, if it and the bias are parameters and its layer is of this kind; else None."""
    name = channels.names.of(weight)
    if not isinstance(input, Ids) or name is None or not isinstance(channels.names.owners[name], kind):
        return None
    return None if bias is not None and channels.names.of(bias) is None else name


def _written(channels: Any, name: str, weight: Tensor, bias: Tensor | None, device: torch.device) -> Tensor:
    return _biased(channels, channels.write((name, 0), weight.size(0)), bias, device)


def _biased(channels: Any, ids: np.ndarray, bias: Tensor | None, device: torch.device) -> Tensor:
    """The ids of a layer's outputs as a tensor; the bias is cut with them."""
    if bias is not None:
        channels.read((channels.names.of(bias), 0), ids)
    return torch.from_numpy(ids).to(device)


def _tie_groups(channels: Any, row: np.ndarray, groups: int) -> None:
    """Tie the inputs that a layer's groups read, so that all lose the same."""
    parts = row.reshape(groups, -1)
    for part in parts[1:]:
        channels.tie(parts[0], part)


@rule(F.conv1d, F.conv2d, F.conv3d, torch.conv1d, torch.conv2d, torch.conv3d)
def _convolution(
    channels: Any,
    func: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """All ``groups`` lose the same channels; a depthwise convolution writes the channels that it reads."""
    name = _layer(channels, input, weight, bias, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    if not isinstance(input, Ids) or isinstance(weight, Ids) or isinstance(bias, Ids) or input.dim() != weight.dim():
        return opaque(channels, func, input, weight, bias, stride, padding, dilation, groups)
    row = channels.column(input, 1)
    if name is None:
        written = torch.from_numpy(computed_convolution(channels, row, weight, bias, groups)).to(input.device)
    elif (multiple := channels.multiple((name, 0), weight, groups)) is not None:
        ids = row.repeat(multiple)
        channels.read((name, 0), ids)
        written = _biased(channels, ids, bias, input.device)
    else:
        for part in row.reshape(groups, -1):
            channels.read((name, 1), part)
        written = _written(channels, name, weight, bias, input.device)
        outputs = written.cpu().numpy().reshape(groups, -1)
        for part in outputs[1:]:
            channels.tie(outputs[0], part)
    probe = func(
        torch.empty(1, 1, *input.shape[2:], device="meta"),
        torch.empty(1, 1, *weight.shape[2:], device="meta"), None, stride, padding, dilation,
    )  # fmt: skip
    return _spread(written, input, probe)


@rule(
    F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
    torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
)  # fmt: skip
def _transposed_convolution(
    channels: Any,
    func: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """Its weight has shape (inputs, outputs of one group, ...), so inputs lie along dimension 0.

    All ``groups`` lose the same channels; with one input per group, a channel goes with all outputs that it feeds.
    """
    name = _layer(channels, input, weight, bias, TRANSPOSED)
    if name is None or input.dim() != weight.dim() or groups != channels.names.owners[name].groups:
        return opaque(channels, func, input, weight, bias, stride, padding, output_padding, groups, dilation)
    row = channels.column(input, 1)
    if groups > 1 and (weight.size(0) == groups if channels.first is None else (name, 1) not in channels.first.reads):
        channels.read((name, 0), row)
        ids = row.repeat(weight.size(1))
    else:
        _tie_groups(channels, row, groups)
        if groups > 1 and channels.first is not None and not channels.in_order((name, 0), row):
            channels.fix(row, f"would be read by other groups of {name} once pruned")
        channels.read((name, 0), row)
        ids = channels.write((name, 1), weight.size(1), groups)
    probe = func(
        torch.empty(1, 1, *input.shape[2:], device="meta"),
        torch.empty(1, 1, *weight.shape[2:], device="meta"), None, stride, padding, output_padding, 1, dilation,
    )  # fmt: skip
    return _spread(_biased(channels, ids, bias, input.device), input, probe)


def _spread(row: Tensor, input: Tensor, probe: Tensor) -> Tensor:
    """The channels of ``row`` (dimension 1) at every position of a map of the size of ``probe``."""
    spatial = probe.shape[2:]
    return wrapped(row.reshape(1, -1, *[1] * len(spatial)).expand(input.size(0), -1, *spatial))


@rule(*named(
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d interpolate "
    "upsample"
))  # fmt: skip
def _pooled(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    row = torch.from_numpy(channels.column(input, 1)).to(input.device)
    probe = func(torch.zeros(1, 1, *input.shape[2:], device=input.device), *args, **kwargs)
    return tree_map(lambda out: _spread(row, input, out), probe)
