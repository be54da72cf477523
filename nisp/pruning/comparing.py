"""Comparing the outputs of two networks as exactly as their precision allows."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nisp.pruning.copies import copied
from nisp.pruning.inputs import Inputs, called, copied_inputs, in_precision, precision_of
from nisp.pruning.outputs import tensors_in
from nisp.pruning.undisturbed import same_draws


@dataclass(frozen=True)
class Difference:
    """Largest difference of two networks' outputs, relative to the largest output, and the accepted one.

    The tolerance is the square root of the coarsest rounding unit in which the networks computed: 1.5e-8 in float64.
    """

    error: float
    tolerance: float


@torch.no_grad()
def difference(whole: nn.Module, smaller: nn.Module, inputs: Inputs) -> Difference:
    """Run both networks in eval mode, in float64 if they can, else in their own precision, with the same random draws.

    Outputs in any structure count: of several, the largest difference. Equal infinities, as of masked values, do not
    differ. The error is not finite where an output holds no finite value, or one that is not finite in one network
    only, or where the networks return different numbers of tensors, or other shapes. The networks are not changed.
    """
    with torch.inference_mode(False):
        try:
            exact = in_precision(inputs, torch.float64)
            return _difference(copied(whole).double(), copied(smaller).double(), exact)
        except _Unrun:
            own = in_precision(inputs, precision_of(whole))
            return _difference(copied(whole), copied(smaller), own)


class _Unrun(Exception):
    """A network does not run in this precision."""


def _difference(whole: nn.Module, smaller: nn.Module, inputs: Inputs) -> Difference:
    precision = precision_of(whole)
    with _Roundings(torch.finfo(precision).eps) as roundings:
        try:
            expected = _outputs(whole, inputs)
        except Exception as error:
            if precision == torch.float64:
                raise _Unrun from error
            raise
        found = _outputs(smaller, inputs)
    return Difference(_largest(expected, found), math.sqrt(roundings.largest))


def _outputs(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    with same_draws(model):
        return tensors_in(called(model.eval(), copied_inputs(inputs)))


def _largest(expected: list[Tensor], found: list[Tensor]) -> float:
    if [tensor.shape for tensor in expected] != [tensor.shape for tensor in found]:
        return math.inf
    errors, sizes = [0.0], [1e-300]
    for one, other in zip(expected, found, strict=True):
        if one.numel():
            one, other = (tensor.detach().to(torch.float64) for tensor in (one, other))
            errors.append(torch.where(one == other, 0.0, other - one).abs().max().item())
            errors.append(0.0 if one.isfinite().any() else math.nan)
            sizes.append(torch.where(one.isfinite(), one, 0.0).abs().max().item())
    error = math.nan if any(map(math.isnan, errors)) else max(errors)
    return error / max(sizes)


class _Roundings(TorchDispatchMode):
    """While active, notes the largest rounding unit of an operation that reads finer values than it writes."""

    def __init__(self, largest: float) -> None:
        super().__init__()
        self.largest = largest

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The result of the operation."""
        values = func(*args, **(kwargs or {}))
        written = _units(values)
        if written and max(written) > self.largest:
            read = _units((args, kwargs))
            if read and min(read) < max(written):
                self.largest = max(written)
        return values


def _units(values: Any) -> list[float]:
    return [torch.finfo(t.dtype).eps for t in tree_leaves(values) if isinstance(t, Tensor) and t.is_floating_point()]
