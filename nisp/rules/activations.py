"""Activations: the score times the function's Lipschitz constant, which is 1 for ReLU and most similar functions.

The constants are the largest |f'|, rounded up in the fourth decimal. A constant that is common to a whole layer changes
no ranking within it, but a skip that runs beside the activation does not have the constant, so it matters.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import Adjoint, composed, measured, rule
from nisp.rules.generic import lipschitz, pointwise

SILU, GELU, MISH, HARDSWISH, SELU = 1.0999, 1.1290, 1.0885, 1.5, 1.7581
SIGMOID, HARDSIGMOID = 1 / 4, 1 / 6

rule(
    F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.hardtanh, F.hardtanh_, F.celu,
    torch.tanh, Tensor.tanh, Tensor.tanh_, F.tanh, F.softplus, F.softsign, F.tanhshrink, F.softshrink, F.logsigmoid,
    torch.clamp, Tensor.clamp, Tensor.clamp_, torch.clip, Tensor.clip, Tensor.clamp_min, Tensor.clamp_max,
    torch.clamp_min, torch.clamp_max, torch.abs, Tensor.abs, torch.sin, Tensor.sin, torch.cos, Tensor.cos,
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout,
    torch.neg, Tensor.neg, Tensor.__neg__,
)(lipschitz(1))  # fmt: skip
rule(F.silu)(lipschitz(SILU))
rule(F.gelu)(lipschitz(GELU))
rule(F.mish)(lipschitz(MISH))
rule(F.hardswish)(lipschitz(HARDSWISH))
rule(F.selu, F.selu_, torch.selu)(lipschitz(SELU))
rule(torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_, F.sigmoid)(lipschitz(SIGMOID))
rule(F.hardsigmoid)(lipschitz(HARDSIGMOID))
rule(torch.erf, Tensor.erf)(lipschitz(2 / math.sqrt(math.pi)))


@rule(F.leaky_relu, F.leaky_relu_)
def _leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Adjoint:
    return lipschitz(max(1, abs(negative_slope)))(input)


@rule(F.elu, F.elu_)
def _elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Adjoint:
    return lipschitz(max(1, abs(alpha)))(input)


@rule(F.prelu, torch.prelu)
def _prelu(input: Tensor, weight: Tensor) -> Adjoint:
    slopes = weight.detach().double().abs().clamp_min(1)
    return lambda score: [score * slopes.reshape(-1, *[1] * (score.dim() - 2))]


for _function in (
    torch.exp, Tensor.exp, torch.log, Tensor.log, torch.sqrt, Tensor.sqrt, torch.rsqrt, Tensor.rsqrt, torch.square,
    Tensor.square, torch.pow, Tensor.pow, Tensor.__pow__, torch.reciprocal, Tensor.reciprocal, torch.log1p,
    # reductions in which every element reaches one output:
    torch.norm, Tensor.norm, torch.linalg.norm, torch.linalg.vector_norm, torch.var, Tensor.var, torch.std, Tensor.std,
):  # fmt: skip
    rule(_function)(pointwise(_function))


@composed(torch.var_mean)
def _var_mean(input: Tensor, dim: Any = None, **kwargs: Any) -> tuple[Tensor, Tensor]:
    return torch.var(input, dim, **kwargs), torch.mean(input, dim, keepdim=kwargs.get("keepdim", False))


@rule(torch.softmax, Tensor.softmax, F.softmax)
def _softmax(input: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Adjoint:
    """|dp_i| <= p_i (1 - p_i) |dx_i| + sum over j != i of p_i p_j |dx_j|, at the measured p."""
    axis: Any = dim
    weights = torch.softmax(measured(input), axis)

    def adjoint(score: Tensor) -> list[Tensor]:
        p = weights.double()
        return [p * ((1 - 2 * p) * score + (p * score).sum(axis, keepdim=True))]

    return adjoint
