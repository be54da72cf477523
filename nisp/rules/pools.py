"""Maxima: |max x - max y| <= sum |x - y| over the window, so every input gets the scores of all windows it is in.

Average pools are linear with non-negative coefficients, and run unchanged (`nisp.rules.shapes`).
"""

from typing import Any

import torch
from torch import Tensor

from nisp.rules.generic import as_is, of_each
from nisp.rules.names import in_place, spelled
from nisp.rules.weights import _each, scattered
from nisp.table import Adjoint, Rule, rule


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
        kernel, margins, gaps = (_each(value, dimensions) for value in (kernel_size, padding, dilation))
        steps = _each(stride, dimensions) if stride else kernel
        shape = input.shape

        def adjoint(score: Tensor) -> list[Tensor]:
            maps = score.unflatten(0, (-1, score.shape[0])) if len(shape) == dimensions + 1 else score
            sizes = (len(maps), *shape[-dimensions - 1 :])
            return [scattered(maps, score.new_ones(1, *kernel), sizes, steps, margins, gaps).reshape(shape)]

        return adjoint

    return absolute


def _adaptive_max_pool(dimensions: int) -> Rule:
    def absolute(input: Tensor, output_size: Any, return_indices: bool = False) -> Adjoint:
        sizes = input.shape[-dimensions:]

        def adjoint(score: Tensor) -> list[Tensor]:
            for axis, size in enumerate(sizes, -dimensions):
                score = (score.movedim(axis, -1) @ _windows(size, score.shape[axis]).to(score)).movedim(-1, axis)
            return [score]

        return adjoint

    return absolute


for _d in (1, 2, 3):
    # The places of maxima, where they are returned, count as a comparison.
    rule(*spelled(f"max_pool{_d}d", f"max_pool{_d}d_with_indices"))(_max_pool(_d))
    rule(*spelled(f"adaptive_max_pool{_d}d", f"adaptive_max_pool{_d}d_with_indices"))(_adaptive_max_pool(_d))


def _windows(size: int, bins: int) -> Tensor:
    """Which of ``size`` positions PyTorch's adaptive pooling puts into which bin: shape (bins, size), 0 or 1."""
    matrix = torch.zeros(bins, size)
    for index in range(bins):
        matrix[index, index * size // bins : -(-(index + 1) * size // bins)] = 1
    return matrix


@rule(*spelled("amax", "amin"))
def _amax(input: Tensor, dim: Any = (), keepdim: bool = False) -> Adjoint | None:
    return as_is(torch.sum)(input, None if dim == () else dim, keepdim)


@rule(*spelled("max", "min"))
def _max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Adjoint | None:
    """The largest element, over a dimension, or of two tensors, element by element."""
    second = dim if isinstance(dim, Tensor) else other
    if second is not None:
        return of_each(input, second)
    return as_is(torch.sum)(input, dim, keepdim)


rule(*spelled("cummax", "cummin"))(as_is(torch.cumsum))
rule(*spelled("maximum", "minimum", "fmax", "fmin", "clamp", "clip", "clamp_min", "clamp_max"))(of_each)
rule(*in_place("clamp", "clip", "clamp_min", "clamp_max"))(of_each)
