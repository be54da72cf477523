"""Mean compensation: the mean response of removed channels moves into the biases behind them (An et al. 2024, FLAP).

A layer that loses inputs loses their mean contribution to its outputs, which is put back as a constant.
"""

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor, nn

from nisp.pruning.contract import Group
from nisp.pruning.input_moments import input_moments
from nisp.pruning.inputs import Inputs
from nisp.pruning.kept import Indices, checked_kept
from nisp.pruning.layer_weights import TRANSPOSED, count_outputs, weight_of


@torch.no_grad()
def mean_compensation(
    original: nn.Module, pruned: nn.Module, groups: Sequence[Group], kept: Mapping[str, Indices], images: Inputs
) -> dict[str, Tensor]:
    """Add, in place, to every bias behind removed channels what these channels contributed in the mean.

    ``pruned`` is a copy of ``original`` without the channels of ``groups`` that are not ``kept``: they are silenced
    (nisp.pruning.contract.silence) or already cut out. Means are those of ``original`` in eval mode over the
    calibration ``images`` and all positions (An et al. 2024, equation 5: B₀ = W·(mean ⊙ removed)). A layer without bias
    gets one.

    Returns layer name -> what was added, shape (outputs of the layer in ``original``,), float64. Layers that lose
    nothing, or do not run in eval mode, are absent and unchanged.

    A constant is exact where a removed channel is constant and every tap of the layer reads it; at a border with zero
    padding it is not, because there fewer taps do. A transposed convolution writes each output with the share
    1 / stride of its taps per dimension, in the mean over outputs, and that share is added.

    UserError for indices that are not the group's (nisp.pruning.kept).
    """
    indices = checked_kept(groups, kept)
    removed = _removed_columns(groups, indices)
    moments = input_moments(original, groups, images)
    added = {
        name: _lost(original, name, moments[name].mean, columns)
        for name, columns in removed.items()
        if name in moments and len(columns)
    }
    for name, shift in added.items():
        left = shift
        if count_outputs(pruned, name) < len(shift):
            left = shift[_kept_outputs(name, len(shift), groups, indices).to(shift.device)]
        _shift_bias(pruned.get_submodule(name), left)
    return added


def _removed_columns(groups: Sequence[Group], kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Layer -> columns (dimension 1 of its weight, outputs first) that read channels that are not ``kept``."""
    columns: dict[str, list[Tensor]] = {}
    for group in groups:
        gone = _gone(group, kept)
        for consumer in group.consumers:
            columns.setdefault(consumer.name, []).append(consumer.inputs[gone].flatten())
    return {name: torch.cat(parts) for name, parts in columns.items()}


def _kept_outputs(layer: str, outputs: int, groups: Sequence[Group], kept: Mapping[str, Tensor]) -> Tensor:
    """Indices, ascending, of the layer's outputs that are not channels that go."""
    left = torch.ones(outputs, dtype=torch.bool)
    for group in groups:
        for producer in group.producers:
            if producer.name == layer:
                left[producer.outputs[_gone(group, kept)].flatten()] = False
    return left.nonzero()[:, 0]


def _gone(group: Group, kept: Mapping[str, Tensor]) -> Tensor:
    gone = torch.ones(group.channels, dtype=torch.bool)
    gone[kept[group.name]] = False
    return gone


def _lost(model: nn.Module, name: str, mean: Tensor, columns: Tensor) -> Tensor:
    """What inputs at ``columns`` with that ``mean``, shape (inputs,), contribute to each output: shape (outputs,)."""
    layer, weight = model.get_submodule(name), weight_of(model, name).double()
    parts = len(mean) // weight.shape[1]  # of a grouped convolution; each reads inputs of its own
    read = mean.reshape(parts, -1).repeat_interleave(len(weight) // parts, 0)  # (outputs, columns)
    taps = weight.reshape(*weight.shape[:2], -1).sum(2)
    share = 1 / prod(layer.stride) if isinstance(layer, TRANSPOSED) else 1.0
    return share * (taps * read)[:, columns.to(weight.device)].sum(1)


def _shift_bias(layer: nn.Module, shift: Tensor) -> None:
    """Add ``shift`` to the layer's bias, which is made if there is none."""
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    if layer.bias is None:
        layer.bias = nn.Parameter(weight.new_zeros(len(shift)), requires_grad=weight.requires_grad)
    assert isinstance(layer.bias, Tensor)
    layer.bias += shift.to(layer.bias)
