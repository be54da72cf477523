"""Sums, products and quotients of responses, of constants, and of both.

A sum passes its score to every branch. A product of two responses, such as a squeeze-and-excitation gate, gives each
factor the score times the other's magnitude, measured on the example: |d(xy)| <= |y| |dx| + |x| |dy|. So the layers
of a gate are scored by how much the gate changes the response that it multiplies.
"""

import math
from typing import Any

import torch
from torch import Tensor

from nisp.absolute import Response
from nisp.errors import UserError
from nisp.rules.constants import STEPS
from nisp.rules.generic import bilinear, pointwise
from nisp.rules.names import spelled
from nisp.table import GAINS, PRODUCTS, Adjoint, composed, rule

MULTILINEAR = (
    "matmul", "bmm", "mm", "mv", "dot", "vdot", "vecdot", "inner", "outer", "ger", "kron", "tensordot", "einsum",
    "chain_matmul", "multi_dot",
)  # fmt: skip

PRODUCTS.update((*spelled(*MULTILINEAR), Tensor.__matmul__, Tensor.__rmatmul__))
for _function in PRODUCTS:
    rule(_function)(bilinear(_function))
for _function in spelled("prod", "cumprod"):
    rule(_function)(bilinear(_function, elements=True))
rule(Tensor.cumprod_)(bilinear(torch.cumprod, elements=True))


@rule(
    *spelled("add", "add_", "sub", "sub_", "subtract", "subtract_"),
    Tensor.__add__, Tensor.__iadd__, Tensor.__radd__, Tensor.__sub__, Tensor.__isub__, Tensor.__rsub__,
)  # fmt: skip
def _sum(input: Any, other: Any, *, alpha: float = 1, out: None = None) -> Adjoint:
    """Every summand gets the score."""
    shapes = [(term.shape, factor) for term, factor in ((input, 1), (other, abs(alpha))) if isinstance(term, Response)]

    def adjoint(score: Tensor) -> list[Tensor]:
        parts = [score if score.shape == shape else score.sum_to_size(shape) for shape, _ in shapes]
        return [part if factor == 1 else part * factor for part, (_, factor) in zip(parts, shapes, strict=True)]

    return adjoint


@composed(*spelled("rsub"))
def _reversed_difference(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    return other - alpha * input


_multiplications = (
    *spelled("mul", "mul_", "multiply", "multiply_"), Tensor.__mul__, Tensor.__imul__, Tensor.__rmul__,
)  # fmt: skip


@rule(*_multiplications)
def _product(input: Any, other: Any, out: None = None) -> Adjoint | None:
    factors = [factor if isinstance(factor, Tensor) else abs(factor) for factor in (input, other)]
    return bilinear(torch.mul)(*factors)


def _mean_magnitude(input: Any, other: Any, out: None = None) -> float:
    """Mean magnitude of the constant factors, such as a layer scale."""
    constants = [factor for factor in (input, other) if not isinstance(factor, Response)]
    return math.prod(f.double().abs().mean().item() if isinstance(f, Tensor) else abs(f) for f in constants)


GAINS.update(dict.fromkeys(_multiplications, _mean_magnitude))


@rule(
    *spelled("div", "div_", "divide", "divide_", "true_divide", "true_divide_"), Tensor.__truediv__, Tensor.__itruediv__
)
def _quotient(input: Any, other: Any, *, rounding_mode: str | None = None, out: None = None) -> Adjoint | None:
    if rounding_mode is not None:
        raise UserError(f"NISP has no rule for a division with rounding_mode='{rounding_mode}': {STEPS}")
    if isinstance(other, Tensor):
        return pointwise(torch.div)(input, other)
    return _product(input, 1 / other)


@rule(Tensor.__rtruediv__, Tensor.__rdiv__)
def _reversed_quotient(input: Tensor, other: Any) -> Adjoint | None:
    return pointwise(lambda x: other / x)(input)


@composed(*spelled("addcmul"))
def _addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return input + value * tensor1 * tensor2


@composed(*spelled("addcdiv"))
def _addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    return input + value * (tensor1 / tensor2)


@composed(*spelled("baddbmm", "addmm", "addmv"))
def _addmm(input: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return beta * input + alpha * (first @ second)


@composed(*spelled("addbmm"))
def _addbmm(input: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return beta * input + alpha * (first @ second).sum(0)


@composed(*spelled("addr"))
def _addr(input: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    return beta * input + alpha * torch.outer(first, second)


@composed(*spelled("cross"))
def _cross(input: Tensor, other: Tensor, dim: int = -1) -> Tensor:
    return input.roll(-1, dim) * other.roll(-2, dim) - input.roll(-2, dim) * other.roll(-1, dim)


@composed(*spelled("lerp"))
def _lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    return input * (1 - weight) + end * weight
