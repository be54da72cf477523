"""Softmax and log-softmax, at the measured shares p."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import measured
from nisp.rules.names import spelled
from nisp.table import Adjoint, composed, rule


@rule(*spelled("softmax"))
def _softmax(input: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Adjoint:
    """|dp_i| <= p_i (1 - p_i) |dx_i| + sum over j != i of p_i p_j |dx_j|."""
    axis, weights = _shares(input, dim)

    def adjoint(score: Tensor) -> list[Tensor]:
        p = weights.double()
        return [p * ((1 - 2 * p) * score + (p * score).sum(axis, keepdim=True))]

    return adjoint


@rule(*spelled("log_softmax"))
def _log_softmax(input: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Adjoint:
    """|dy_i| <= (1 - p_i) |dx_i| + sum over j != i of p_j |dx_j|."""
    axis, weights = _shares(input, dim)

    def adjoint(score: Tensor) -> list[Tensor]:
        p = weights.double()
        return [(1 - 2 * p) * score + p * score.sum(axis, keepdim=True)]

    return adjoint


def _shares(input: Tensor, dim: int | None) -> tuple[int, Tensor]:
    """The dimension over which the shares add up to 1, by PyTorch's own choice where none is given, and the shares."""
    axis = dim if dim is not None else (0 if input.dim() in (0, 1, 3) else 1)
    return axis, F.softmax(measured(input), axis)


@composed(F.softmin)
def _softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    return F.softmax(-input, dim, dtype=dtype)
