"""Activations: the score times the function's Lipschitz constant, which is 1 for ReLU and most similar functions.

The constants are the largest |f'|, rounded up in the fourth decimal. A constant that is common to a whole layer changes
no ranking within it, but a skip that runs beside the activation does not have the constant, so it matters. The jump of
`threshold` and `hardshrink` counts as a comparison: no constant bounds it.
"""

import math

import torch.nn.functional as F
from torch import Tensor

from nisp.rules.generic import lipschitz
from nisp.rules.names import in_place, spelled
from nisp.table import Adjoint, composed, rule

SILU, GELU, MISH, HARDSWISH, SELU = 1.0999, 1.1290, 1.0885, 1.5, 1.7581
SIGMOID, HARDSIGMOID = 1 / 4, 1 / 6

GENTLE = (
    "relu", "relu6", "hardtanh", "celu", "threshold", "tanh", "softplus", "softsign", "tanhshrink", "softshrink",
    "hardshrink", "logsigmoid", "abs", "absolute", "sin", "cos", "atan", "arctan", "asinh", "arcsinh", "neg",
    "negative", "positive", "nan_to_num",
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout",
    "__neg__", "__pos__", "__abs__",
)  # fmt: skip
"""Nowhere steeper than 1."""

CONSTANTS = {
    ("silu",): SILU,
    ("gelu",): GELU,
    ("mish",): MISH,
    ("hardswish",): HARDSWISH,
    ("selu",): SELU,
    ("sigmoid", "expit"): SIGMOID,
    ("hardsigmoid",): HARDSIGMOID,
    ("erf", "erfc"): 2 / math.sqrt(math.pi),
}

rule(*spelled(*GENTLE), *in_place(*GENTLE))(lipschitz(1))
for _names, _constant in CONSTANTS.items():
    rule(*spelled(*_names), *in_place(*_names))(lipschitz(_constant))


@rule(*spelled("leaky_relu", "leaky_relu_"))
def _leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Adjoint | None:
    return lipschitz(max(1, abs(negative_slope)))(input)


@rule(*spelled("elu", "elu_"))
def _elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Adjoint | None:
    return lipschitz(max(1, abs(alpha)))(input)


@rule(*spelled("rrelu", "rrelu_"))
def _rrelu(
    input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Adjoint | None:
    slopes = (abs(lower), abs(upper)) if training else (abs(lower + upper) / 2,)
    return lipschitz(max(1, *slopes))(input)


@rule(*spelled("prelu"))
def _prelu(input: Tensor, weight: Tensor) -> Adjoint:
    slopes = weight.detach().double().abs().clamp_min(1)
    return lambda score: [score * slopes.reshape(-1, *[1] * (score.dim() - 2))]


@composed(F.glu)
def _glu(input: Tensor, dim: int = -1) -> Tensor:
    first, second = input.chunk(2, dim)
    return first * second.sigmoid()
