"""Mean compensation: what removed channels contributed in the mean moves into the biases behind them (FLAP).

A layer that loses inputs loses their mean contribution to its outputs, which is put back as a constant (An et al. 2024,
"Fluctuation-based Adaptive Structured Pruning for Large Language Models").
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nisp.pruning.contract import Group, channel_axis, removed
from nisp.pruning.inputs import Inputs
from nisp.pruning.kept import Indices, checked_kept
from nisp.pruning.layer_inputs import layer_inputs
from nisp.pruning.layer_weights import count_outputs, weight_of


@torch.no_grad()
def mean_compensation(
    original: nn.Module, pruned: nn.Module, groups: Sequence[Group], kept: Mapping[str, Indices], images: Inputs
) -> dict[str, Tensor]:
    """Add, in place, to every bias behind removed channels what these channels contributed in the mean.

    ``pruned`` is a copy of ``original`` without the channels of ``groups`` that are not ``kept``: they are silenced
    (nisp.pruning.contract.silence) or already cut out. A layer without bias gets one.

    The constant is W · (mean ⊙ removed), as in the publication, with the means of ``original`` in eval mode over the
    calibration ``images``. A convolution is applied to the mean map, and its outputs are averaged over positions: each
    tap counts with the mean of what it reads, zero padding included. So the mean of every output of the layer, over
    images and positions, stays what it was for the same inputs; where padding reads zeros, or a transposed convolution
    writes some outputs with fewer taps than others, single positions differ from it even for a constant channel.

    Returns layer name -> what was added, shape (outputs of the layer in ``original``,), float64. Layers that lose
    nothing, or do not run in eval mode, are absent and unchanged.

    UserError for indices that are not the group's (nisp.pruning.kept).
    """
    indices = checked_kept(groups, kept)
    gone = {group.name: removed(group, indices[group.name]) for group in groups}
    maps = layer_inputs(original, groups, images, lambda values: (len(values), values.double().sum(0)))
    added = {
        name: _lost(original, name, parts, groups, gone)
        for name, parts in maps.items()
        if parts and any(gone[group.name].any() for group in groups if group.read_by(name))
    }
    for name, shift in added.items():
        left = torch.ones(len(shift), dtype=torch.bool)
        if count_outputs(pruned, name) < len(shift):
            for group in groups:
                for producer in group.producers:
                    if producer.name == name:
                        left[producer.outputs[gone[group.name]].flatten()] = False
        _shift_bias(pruned.get_submodule(name), shift[left.to(shift.device)])
    return added


def _lost(
    model: nn.Module,
    name: str,
    parts: Sequence[tuple[int, Tensor]],
    groups: Sequence[Group],
    gone: Mapping[str, Tensor],
) -> Tensor:
    """What the layer's inputs that go contribute to each output, in the mean over images, runs and positions.

    ``parts`` are, per batch and run, a number of images and the sum of what the layer reads, shape (..., inputs).
    """
    layer, columns = model.get_submodule(name), weight_of(model, name).shape[1]
    inputs = torch.arange(parts[0][1].shape[-1])
    read = torch.zeros(len(inputs), dtype=torch.float64)
    for group in groups:
        if consumer := group.read_by(name):
            read[consumer.per_channel(inputs, columns)[gone[group.name]].flatten()] = 1
    axis = channel_axis(layer)
    parameters = {key: value.detach().double() for key, value in layer.named_parameters()}
    if "bias" in parameters:
        parameters["bias"] = torch.zeros_like(parameters["bias"])
    total = torch.zeros((), dtype=torch.float64, device=parts[0][1].device)
    for _, values in parts:
        outputs = functional_call(layer, parameters, ((values * read.to(values.device))[None].movedim(-1, axis),))
        total = total + outputs.movedim(axis, -1).flatten(0, -2).mean(0)
    return total / sum(images for images, _ in parts)


def _shift_bias(layer: nn.Module, shift: Tensor) -> None:
    """Add ``shift`` to the layer's bias, which is made if there is none."""
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    if layer.bias is None:
        layer.bias = nn.Parameter(weight.new_zeros(len(shift)), requires_grad=weight.requires_grad)
    assert isinstance(layer.bias, Tensor)
    layer.bias += shift.to(layer.bias)
