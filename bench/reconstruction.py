"""Least-squares reconstruction: re-solve what is left of each layer for its original outputs (He et al. 2017).

It works on a network whose removed channels are silenced (`bench.contract.silence`), before they are cut out.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bench.contract import Group
from bench.patches import Rows, sampled_rows

RIDGE = 1e-3
"""Pull towards the original weights, relative to the mean square of the layer's inputs."""


def least_squares(
    original: nn.Module,
    silenced: nn.Module,
    groups: Sequence[Group],
    kept: Mapping[str, Tensor],
    images: Tensor,
    seed: int,
) -> dict[str, float]:
    """Re-solve every layer that lost inputs, front to back on the already pruned inputs, in place.

    The target of a layer is its output in ``original``. Returns layer name -> relative squared error left.
    """
    layers = list(dict.fromkeys(consumer.name for group in groups for consumer in group.consumers))
    order = {name: position for position, (name, _) in enumerate(original.named_modules())}
    targets = sampled_rows(original, tuple(layers), images, seed)
    return {
        name: refit(silenced, name, surviving_inputs(name, groups, kept), targets[name], images, seed)
        for name in sorted(layers, key=order.__getitem__)
    }


def surviving_inputs(layer: str, groups: Sequence[Group], kept: Mapping[str, Tensor]) -> Tensor:
    """Indices of the layer's inputs that are left when only ``kept`` channels are; groups not in it are whole."""
    return (
        torch.cat(
            [
                consumer.inputs[kept.get(group.name, slice(None))].flatten()
                for group in groups
                if (consumer := group.read_by(layer))
            ]
        )
        .sort()
        .values
    )


def refit(model: nn.Module, layer: str, inputs: Tensor, target: Rows, images: Tensor, seed: int) -> float:
    """Re-solve ``layer`` on its ``inputs`` for ``target.outputs``, in place.

    Ridge regression around the present weights, and free in the bias if there is one, in float64. Returns the
    squared error left, relative to the outputs' variance.
    """
    weight = model.get_parameter(f"{layer}.weight")
    bias = dict(model.named_parameters()).get(f"{layer}.bias")
    rows = sampled_rows(model, (layer,), images, seed)[layer].inputs[:, inputs].double().flatten(1)
    outputs = target.outputs.double()
    present = weight.detach()[:, inputs].double().flatten(1)
    residual = outputs - rows @ present.T
    centre, shift = rows.mean(0), residual.mean(0)
    if bias is None:  # no constant to solve for, so nothing may be centred
        centre, shift = torch.zeros_like(centre), torch.zeros_like(shift)
    centred = rows - centre
    gram = centred.T @ centred
    ridge = RIDGE * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    change = torch.linalg.solve(gram + ridge, centred.T @ (residual - shift)).T
    shift = shift - change @ centre
    with torch.no_grad():
        weight[:, inputs] = (present + change).reshape(len(weight), -1, *weight.shape[2:]).to(weight)
        if bias is not None:
            bias.copy_(shift.to(bias))
    error = ((residual - rows @ change.T - shift) ** 2).sum()
    return (error / ((outputs - outputs.mean(0)) ** 2).sum().clamp_min(1e-300)).item()
