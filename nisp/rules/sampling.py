"""Interpolation, on a grid of fixed steps or at given places."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import Response, measured
from nisp.errors import UserError
from nisp.rules.generic import as_is
from nisp.rules.names import spelled
from nisp.table import Adjoint, composed, rule


@rule(F.interpolate)
def _interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *args: Any, **kwargs: Any
) -> Adjoint | None:
    if mode != "bicubic":
        return as_is(F.interpolate)(input, size, scale_factor, mode, *args, **kwargs)
    # Some bicubic weights are negative. It is separable, so one matrix per axis has all weights. The other axis has two
    # elements, because PyTorch mixes up the rows of a single column if ``antialias`` is set.
    matrices = []
    for axis in (0, 1):
        onto = None if size is None else (size if isinstance(size, int) else size[axis], 2)
        factor = scale_factor if scale_factor is None or isinstance(scale_factor, int | float) else scale_factor[axis]
        unit = torch.eye(input.shape[2 + axis], dtype=torch.float64, device=input.device)[None, :, :, None].repeat(
            1, 1, 1, 2
        )
        one = F.interpolate(unit, onto, None if factor is None else (factor, 1.0), mode, *args, **kwargs)
        matrices.append(one[0, :, :, 0].abs())
    rows, columns = matrices
    return lambda score: [rows @ score @ columns.T]


@rule(*spelled("grid_sample"))
def _grid_sample(
    input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: Any = None
) -> Adjoint:
    """Linear in the input, with weights that are not negative; a grid that is a response gets |dy/dgrid|, measured."""
    if mode == "bicubic":
        raise UserError("NISP has no rule for the operation grid_sample with mode='bicubic'")
    moving = isinstance(grid, Response)
    if moving and mode == "nearest":
        raise UserError("NISP has no rule for grid_sample with mode='nearest' on a grid that depends on the input")
    options = (mode, padding_mode, align_corners)
    places = measured(grid).clone()
    of_input = as_is(F.grid_sample)(input, places, *options) if isinstance(input, Response) else None
    values = measured(input).clone() if moving else None

    def adjoint(score: Tensor) -> list[Tensor | None]:
        found = [] if of_input is None else [*of_input(score)]
        return found if values is None else [*found, _moved(values, places, options, score)]

    return adjoint


def _moved(values: Tensor, places: Tensor, options: Any, score: Tensor) -> Tensor:
    """Scores of a grid; one channel at a time, so that derivatives of opposite sign do not cancel."""
    channels = values.shape[1]
    maps = values.double().flatten(0, 1).unsqueeze(1)
    leaf = places.double().repeat_interleave(channels, 0).requires_grad_()
    with torch.enable_grad():
        sampled = F.grid_sample(maps, leaf, *options)
    [found] = torch.autograd.grad(sampled, leaf, score.flatten(0, 1).unsqueeze(1))
    return found.abs().unflatten(0, (-1, channels)).sum(1)


@composed(F.affine_grid)
def _affine_grid(theta: Tensor, size: Any, align_corners: Any = None) -> Tensor:
    """The places of a grid that is not moved, with a 1 appended, times the transformation."""
    count = len(size) - 2
    unmoved = torch.eye(count, count + 1, dtype=theta.dtype, device=theta.device)[None]
    places = F.pad(F.affine_grid(unmoved, [1, *size[1:]], align_corners).flatten(1, -2), (0, 1), value=1.0)
    return (places @ theta.mT).unflatten(1, tuple(size[2:]))
