"""Least-squares reconstruction: re-solve each layer's remaining weights for its original outputs (He et al. 2017).

Works on a network whose removed channels are silenced (`nisp.pruning.contract.silence`), before they are cut out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nisp.pruning.contract import Group
from nisp.pruning.kept import checked_kept
from nisp.pruning.layer_weights import set_inputs, weight_of
from nisp.pruning.sampling import Rows, sampled_rows

RIDGE = 1e-3
"""Default pull towards the original weights, relative to the mean square of the layer's inputs."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Candidates where validation images choose the ridge."""


@dataclass(frozen=True)
class Refit:
    """The result of re-solving one layer; squared errors, relative to the variance of the original outputs."""

    layer: str
    ridge: float
    error: float
    error_before: float
    validation_error: float


def least_squares(
    original: nn.Module,
    silenced: nn.Module,
    groups: Sequence[Group],
    kept: Mapping[str, Tensor],
    images: Tensor,
    validation: Tensor,
    seed: int,
) -> list[Refit]:
    """Re-solve every layer that lost inputs, in place, front to back, on the inputs that the pruned network gives it.

    A layer's target is its output in ``original`` for the calibration ``images``. Each layer takes the one of RIDGES
    with the smallest error on the ``validation`` images.
    """
    kept = checked_kept(groups, kept)
    layers = list(dict.fromkeys(consumer.name for group in groups for consumer in group.consumers))
    order = {name: position for position, (name, _) in enumerate(original.named_modules())}
    targets, checks = (sampled_rows(original, tuple(layers), part, seed) for part in (images, validation))
    refits = []
    for name in sorted(layers, key=order.__getitem__):
        inputs = surviving_inputs(name, groups, kept)
        system, check = (
            System.of(silenced, name, inputs, target.outputs, sampled_rows(silenced, (name,), part, seed)[name])
            for target, part in ((targets[name], images), (checks[name], validation))
        )
        solutions = system.solved(RIDGES)
        errors = {ridge: check.error(*solution) for ridge, solution in solutions.items()}
        ridge = min(RIDGES, key=errors.__getitem__)
        system.apply(silenced, *solutions[ridge])
        before = system.error(torch.zeros_like(system.present), system.shift_before)
        refits.append(Refit(name, ridge, system.error(*solutions[ridge]), before, errors[ridge]))
    return refits


def surviving_inputs(layer: str, groups: Sequence[Group], kept: Mapping[str, Tensor]) -> Tensor:
    """Indices, ascending, of the layer's inputs in ``kept`` channels; groups that are not in ``kept`` are whole."""
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
    """Re-solve ``layer`` in place on its ``inputs`` for ``target.outputs`` with RIDGE; return the remaining error."""
    system = System.of(model, layer, inputs, target.outputs, sampled_rows(model, (layer,), images, seed)[layer])
    solution = system.solved([RIDGE])[RIDGE]
    system.apply(model, *solution)
    return system.error(*solution)


@dataclass(frozen=True)
class System:
    """A layer's linear system: the change of its weights that brings its outputs closest to their targets.

    Ridge regression around the present weights of ``inputs``; the bias, if there is one, is free. In float64.

    present   these weights, shape (outputs, inputs x taps)
    rows      the layer's inputs, shape (n, inputs x taps)
    residual  the targets minus the layer's outputs without bias, shape (n, outputs)
    scale     squared deviation of the targets from their mean
    """

    layer: str
    inputs: Tensor
    present: Tensor
    bias: Tensor | None
    rows: Tensor
    residual: Tensor
    scale: Tensor

    @classmethod
    def of(cls, model: nn.Module, layer: str, inputs: Tensor, targets: Tensor, rows: Rows) -> "System":
        """The system of ``layer``, given the ``rows`` of it in ``model`` and the target of each, shape (n, outputs).

        Other inputs than ``inputs`` contribute what they do at present: those in no group, which are never removed.
        """
        weight = weight_of(model, layer).double()
        others = weight.transpose(0, 1).flatten(1).any(1)
        others[inputs.to(weight.device)] = False

        def read_by(columns: Tensor) -> tuple[Tensor, Tensor]:
            columns = columns.to(weight.device)
            return rows.inputs[:, columns].double().flatten(1), weight[:, columns].flatten(1)

        own, present = read_by(inputs)
        other, fixed = read_by(others.nonzero()[:, 0])
        bias = dict(model.named_parameters()).get(f"{layer}.bias")
        targets = targets.double()
        return cls(
            layer=layer,
            inputs=inputs,
            present=present,
            bias=None if bias is None else bias.detach().to(torch.float64, copy=True),  # it will be overwritten
            rows=own,
            residual=targets - own @ present.T - other @ fixed.T,
            scale=((targets - targets.mean(0)) ** 2).sum(),
        )

    @property
    def shift_before(self) -> Tensor:
        """The layer's present bias, or zeros."""
        return self.residual.new_zeros(self.residual.shape[1]) if self.bias is None else self.bias

    def solved(self, ridges: Sequence[float]) -> dict[float, tuple[Tensor, Tensor]]:
        """Ridge -> (change of the weights, new bias); the new bias is 0 if the layer has no bias."""
        centre, shift = self.rows.mean(0), self.residual.mean(0)
        if self.bias is None:
            centre, shift = torch.zeros_like(centre), torch.zeros_like(shift)
        centred = self.rows - centre
        gram, product = centred.T @ centred, centred.T @ (self.residual - shift)
        size = gram.diagonal().mean().clamp_min(1e-12)
        solutions = {}
        for ridge in ridges:
            pulled = gram.clone()
            pulled.diagonal().add_(ridge * size)
            change = torch.linalg.solve(pulled, product).T
            solutions[ridge] = change, shift - change @ centre
        return solutions

    def error(self, change: Tensor, shift: Tensor) -> float:
        """Remaining squared error, relative to the variance of the targets."""
        left = ((self.residual - self.rows @ change.T - shift) ** 2).sum()
        return (left / self.scale.clamp_min(1e-300)).item()

    @torch.no_grad()
    def apply(self, model: nn.Module, change: Tensor, shift: Tensor) -> None:
        """Write a solution to the layer in ``model``."""
        weight = weight_of(model, self.layer)
        solved = (self.present + change).reshape(len(weight), -1, *weight.shape[2:])
        set_inputs(model, self.layer, self.inputs, solved)
        if self.bias is not None:
            model.get_parameter(f"{self.layer}.bias").copy_(shift)
