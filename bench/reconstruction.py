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
    original: nn.Module, silenced: nn.Module, groups: Sequence[Group], kept: Mapping[str, Tensor], images: Tensor, seed: int
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
    return torch.cat(
        [
            consumer.inputs[kept.get(group.name, slice(None))].flatten()
            for group in groups
            if (consumer := group.read_by(layer))
        ]
    ).sort().values


def refit(model: nn.Module, layer: str, inputs: Tensor, target: Rows, images: Tensor, seed: int) -> float:
    """Solve weights and bias of ``layer`` on its ``inputs`` for ``target.outputs``, in place, in float64.

    Ridge regression around the present weights. Returns the squared error left, relative to the outputs' variance.
    """
    module = model.get_submodule(layer)
    rows = sampled_rows(model, (layer,), images, seed)[layer].inputs[:, inputs].double().flatten(1)
    outputs = target.outputs.double()
    weight = module.weight.detach().flatten(2)[:, inputs] if module.weight.dim() > 2 else module.weight.detach()[:, inputs]
    present = weight.double().reshape(len(module.weight), -1)
    residual = outputs - rows @ present.T
    free = module.bias is not None
    centre, shift = (rows.mean(0), residual.mean(0)) if free else (torch.zeros_like(rows[0]), torch.zeros_like(residual[0]))
    centred = rows - centre
    gram = centred.T @ centred
    ridge = RIDGE * gram.diagonal().mean().clamp_min(1e-12) * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    change = torch.linalg.solve(gram + ridge, centred.T @ (residual - shift)).T
    shift = shift - change @ centre
    with torch.no_grad():
        module.weight[:, inputs] = (present + change).reshape(module.weight[:, inputs].shape).to(module.weight)
        if free:
            module.bias.copy_(shift.to(module.bias))
    error = ((residual - rows @ change.T - shift) ** 2).sum()
    return (error / ((outputs - outputs.mean(0)) ** 2).sum().clamp_min(1e-300)).item()
