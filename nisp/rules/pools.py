"""Maxima: |max x - max y| <= sum |x - y| over the window, so every input gets the scores of all windows it is in.

Average pools are linear with non-negative coefficients, and run unchanged (`nisp.rules.shapes`).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import Adjoint, Rule, rule
from nisp.errors import UserError
from nisp.rules.generic import as_is
from nisp.rules.weights import _each, scattered


def _max_pool(dimensions: int) -> Rule:
    def absolute(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Adjoint:
        if return_indices:
            raise UserError("NISP has no rule for a max pool with indices")
        kernel, margins, gaps = (_each(value, dimensions) for value in (kernel_size, padding, dilation))
        steps = _each(stride, dimensions) if stride else kernel
        shape = input.shape
        return lambda score: [scattered(score, score.new_ones(1, *kernel), shape, steps, margins, gaps)]

    return absolute


rule(F.max_pool1d, torch.max_pool1d)(_max_pool(1))
rule(F.max_pool2d, torch.max_pool2d)(_max_pool(2))
rule(F.max_pool3d, torch.max_pool3d)(_max_pool(3))


@rule(F.adaptive_max_pool1d, F.adaptive_max_pool2d, torch.adaptive_max_pool1d)
def _adaptive_max_pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Adjoint:
    if return_indices:
        raise UserError("NISP has no rule for a max pool with indices")
    sizes = input.shape[2:]

    def adjoint(score: Tensor) -> list[Tensor]:
        for axis, size in enumerate(sizes, 2):
            score = (score.movedim(axis, -1) @ _windows(size, score.shape[axis]).to(score)).movedim(-1, axis)
        return [score]

    return adjoint


def _windows(size: int, bins: int) -> Tensor:
    """Which of ``size`` positions PyTorch's adaptive pooling puts into which bin: shape (bins, size), 0 or 1."""
    matrix = torch.zeros(bins, size)
    for index in range(bins):
        matrix[index, index * size // bins : -(-(index + 1) * size // bins)] = 1
    return matrix


@rule(torch.amax, Tensor.amax)
def _amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Adjoint:
    return as_is(torch.sum)(input, None if dim == () else dim, keepdim)


@rule(torch.max, Tensor.max)
def _max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Adjoint:
    if isinstance(dim, Tensor):
        raise UserError("NISP has no rule for max of two responses: use torch.maximum")
    return as_is(torch.sum)(input, dim, keepdim)
