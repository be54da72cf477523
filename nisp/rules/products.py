"""Sums, products and quotients of responses, of constants, and of both.

A sum passes its score to every branch. A product of two responses, such as a squeeze-and-excitation gate, gives each
factor the score times the other's magnitude, measured on the example: |d(xy)| <= |y| |dx| + |x| |dy|. So the layers
of a gate are scored by how much the gate changes the response that it multiplies.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import GAINS, PRODUCTS, Adjoint, Response, composed, rule
from nisp.rules.generic import bilinear, pointwise

_matrix_products = (
    torch.matmul, Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, torch.bmm, Tensor.bmm, torch.mm, Tensor.mm,
    torch.einsum,
)  # fmt: skip
PRODUCTS |= set(_matrix_products)
for _function in _matrix_products:
    rule(_function)(bilinear(_function))


@rule(
    torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__, Tensor.__radd__, torch.sub, Tensor.sub,
    Tensor.sub_, Tensor.__sub__, Tensor.__isub__, Tensor.__rsub__, torch.maximum, torch.minimum, Tensor.maximum,
)  # fmt: skip
def _sum(input: Any, other: Any, *, alpha: float = 1, out: None = None) -> Adjoint:
    """Every summand gets the score; so do both tensors of a maximum or minimum."""
    shapes = [(term.shape, factor) for term, factor in ((input, 1), (other, abs(alpha))) if isinstance(term, Response)]

    def adjoint(score: Tensor) -> list[Tensor]:
        parts = [score if score.shape == shape else score.sum_to_size(shape) for shape, _ in shapes]
        return [part if factor == 1 else part * factor for part, (_, factor) in zip(parts, shapes, strict=True)]

    return adjoint


_multiplications = (
    torch.mul, Tensor.mul, Tensor.mul_, Tensor.__mul__, Tensor.__imul__, Tensor.__rmul__, torch.multiply,
)  # fmt: skip


@rule(*_multiplications)
def _product(input: Any, other: Any, out: None = None) -> Adjoint:
    factors = [factor if isinstance(factor, Tensor) else abs(factor) for factor in (input, other)]
    return bilinear(torch.mul)(*factors)


def _mean_magnitude(input: Any, other: Any, out: None = None) -> float:
    """Mean magnitude of the constant factors, such as a layer scale."""
    constants = [factor for factor in (input, other) if not isinstance(factor, Response)]
    return math.prod(float(abs(f).mean()) if isinstance(f, Tensor) else abs(f) for f in constants)


GAINS.update(dict.fromkeys(_multiplications, _mean_magnitude))


@rule(torch.div, Tensor.div, Tensor.div_, Tensor.__truediv__, Tensor.__itruediv__)
def _quotient(input: Any, other: Any, out: None = None) -> Adjoint:
    if isinstance(other, Tensor):
        return pointwise(torch.div)(input, other)
    return _product(input, 1 / other)


@rule(Tensor.__rtruediv__, Tensor.__rdiv__)
def _reversed_quotient(input: Tensor, other: Any) -> Adjoint:
    return pointwise(lambda x: other / x)(input)


@composed(torch.addcmul, Tensor.addcmul)
def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return input + value * tensor1 * tensor2


@composed(torch.baddbmm, torch.addmm, Tensor.baddbmm, Tensor.addmm)
def _addmm(input: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return beta * input + alpha * (first @ second)


@composed(torch.lerp, Tensor.lerp)
def _lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    return input * (1 - weight) + end * weight


@composed(F.glu)
def _glu(input: Tensor, dim: int = -1) -> Tensor:
    first, second = input.chunk(2, dim)
    return first * torch.sigmoid(second)
