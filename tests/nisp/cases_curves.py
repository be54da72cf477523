"""Calls of every function of single elements, with its constant or its derivative, and of softmax and reductions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import Response
from nisp.rules.names import in_place, spelled


def in_copy(f, x):
    """PyTorch has no derivative of some functions in place, so the real one is that of the plain function."""
    return f(x * 1) if isinstance(x, Response) else spelled(f.__name__[:-1])[0](x)


GENTLE = (
    "relu", "tanh", "sin", "cos", "abs", "absolute", "atan", "arctan", "asinh", "arcsinh", "neg", "negative",
    "positive", "nan_to_num", "celu", "selu", "hardshrink", "erf", "erfc", "sigmoid", "expit", "rrelu", "hardtanh",
    "leaky_relu", "elu",
)  # fmt: skip
RANDOM = ("dropout", "alpha_dropout", "feature_alpha_dropout", "feature_dropout")
ONE_ARGUMENT = (
    F.relu, F.relu_, torch.relu, Tensor.relu, Tensor.relu_, F.relu6, torch.tanh, Tensor.tanh, Tensor.tanh_, F.tanh,
    F.softplus, F.softsign, F.tanhshrink, F.softshrink, F.logsigmoid, torch.abs, Tensor.abs, torch.sin, Tensor.sin,
    torch.cos, Tensor.cos, torch.neg, Tensor.neg, F.silu, F.gelu, F.mish, F.hardswish, F.selu, F.selu_, torch.selu,
    torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_, F.sigmoid, F.hardsigmoid, torch.erf, Tensor.erf,
    F.hardtanh, F.hardtanh_, F.leaky_relu, F.leaky_relu_, F.elu, F.elu_, F.celu,
)  # fmt: skip
STEEPEST = [
    *((f, lambda f, x: f(x)) for f in spelled(*GENTLE)),
    *((f, lambda f, x: in_copy(f, x)) for f in in_place(*GENTLE)),
    *((f, lambda f, x: f(x, 0.7, 0.7)) for f in spelled("threshold")),
    *((f, lambda f, x: f(x * 1, 0.7, 0.7)) for f in in_place("threshold")),
    *((f, lambda f, x: f(x, 0.5, False)) for f in spelled(*RANDOM)),
    *((f, lambda f, x: f(x * 1, 0.5, False)) for f in in_place(*RANDOM)),
    (F.rrelu, lambda f, x: f(x, 1.0, 2.0)),
    *((f, lambda f, x: f(x * 1, 0.5)) for f in in_place("clamp_min", "clamp_max", "clamp", "clip")),
    (Tensor.prelu, lambda f, x: f(x, torch.tensor([-1.3], dtype=x.dtype))),
    *((function, lambda f, x: f(x)) for function in ONE_ARGUMENT),
    *((f, lambda f, x: f(x, -1.0, 2.0)) for f in (torch.clamp, Tensor.clamp, Tensor.clamp_, torch.clip, Tensor.clip)),
    *((f, lambda f, x: f(x, 0.5)) for f in (torch.clamp_min, Tensor.clamp_min, torch.clamp_max, Tensor.clamp_max)),
    *((f, lambda f, x: f(x, 0.5, False)) for f in (F.dropout, F.dropout1d, torch.dropout)),
    (F.dropout2d, lambda f, x: f(x[None], 0.5, False)),
    (F.dropout3d, lambda f, x: f(x[None, None], 0.5, False)),
    *((f, lambda f, x: f(x, 0.5, False)) for f in (F.alpha_dropout, F.feature_alpha_dropout)),
    (F.gelu, lambda f, x: f(x, approximate="tanh")),
    (F.leaky_relu, lambda f, x: f(x, -1.5)),
    (F.leaky_relu_, lambda f, x: f(x, 2.0)),
    *((f, lambda f, x: f(x, 1.7)) for f in (F.elu, F.elu_, F.celu)),
    (F.elu, lambda f, x: f(x, 0.4)),
    (F.prelu, lambda f, x: f(x, torch.tensor([-1.3], dtype=x.dtype))),
    (F.prelu, lambda f, x: f(x, torch.tensor([0.3], dtype=x.dtype))),
]
"""Functions with a call: their rule is a constant, the greatest |derivative|."""


def power(x):
    return 3 * x.square()


def inverse(x):
    return x.square().reciprocal()


DERIVATIVES = {
    (torch.exp, Tensor.exp): (lambda f, x: f(x), torch.exp),
    (torch.log, Tensor.log): (lambda f, x: f(x), lambda x: 1 / x),
    (torch.sqrt, Tensor.sqrt): (lambda f, x: f(x), lambda x: x**-0.5 / 2),
    (torch.rsqrt, Tensor.rsqrt): (lambda f, x: f(x), lambda x: x**-1.5 / 2),
    (torch.square, Tensor.square): (lambda f, x: f(x), lambda x: 2 * x),
    (torch.pow, Tensor.pow, Tensor.__pow__): (lambda f, x: f(x, 3), power),
    (torch.reciprocal, Tensor.reciprocal): (lambda f, x: f(x), inverse),
    (torch.log1p,): (lambda f, x: f(x), lambda x: 1 / (1 + x)),
    (Tensor.__rtruediv__,): (lambda f, x: f(x, -3.0), lambda x: 3 * inverse(x)),
}  # fmt: skip
"""Functions -> a call, and its |derivative| at x > 0."""


def over(x, derivative):
    """The matrix of a reduction over dimension 1 of x, shape (2, 3, 2), from the |derivative| by each element."""
    matrix = torch.zeros(2, 2, 2, 3, 2, dtype=torch.float64)
    for n in range(2):
        for j in range(2):
            matrix[n, j, n, :, j] = derivative(x[n, :, j])
    return matrix.reshape(4, 12)


REDUCTIONS = {
    (torch.functional.norm, Tensor.norm): (lambda f, x: f(x, p=2, dim=1), lambda v: v.abs() / v.dot(v) ** 0.5),
    (torch.linalg.norm, torch.linalg.vector_norm): (lambda f, x: f(x, dim=1), lambda v: v.abs() / v.dot(v) ** 0.5),
    (torch.var, Tensor.var): (lambda f, x: f(x, 1), lambda v: 2 * (v - v.sum() / 3).abs() / 2),
    (torch.std, Tensor.std): (
        lambda f, x: f(x, 1, correction=0),
        lambda v: (v - v.sum() / 3).abs() / (3 * ((v - v.sum() / 3) ** 2).sum()) ** 0.5,
    ),
}  # fmt: skip
"""Functions -> a call over dimension 1, and the |derivatives| by the elements v of one result."""


def softmax_matrix(x):
    """p_i (1 - p_i) on the diagonal and p_i p_j beside it, over dimension 1 of x, shape (2, 3, 2)."""
    matrix = torch.zeros(2, 3, 2, 2, 3, 2, dtype=torch.float64)
    for n in range(2):
        for j in range(2):
            p = x[n, :, j].exp() / x[n, :, j].exp().sum()
            for i in range(3):
                for k in range(3):
                    matrix[n, i, j, n, k, j] = p[i] * (1 - p[i]) if i == k else p[i] * p[k]
    return matrix.reshape(12, 12)


SOFTMAX = (torch.softmax, Tensor.softmax, F.softmax, torch.special.softmax)


def log_softmax_matrix(x):
    """1 - p_i on the diagonal and p_j beside it, over dimension 1 of x, shape (2, 3, 2)."""
    p = x.exp() / x.exp().sum(1, keepdim=True)
    return softmax_matrix(x) / p.reshape(12, 1)


LOG_SOFTMAX = spelled("log_softmax")


CURVES = (
    "exp2", "expm1", "log2", "log10", "log1p", "tan", "sinh", "cosh", "asin", "arcsin", "acos", "arccos", "atanh",
    "arctanh", "logit", "sinc", "erfinv", "lgamma", "digamma",
)  # fmt: skip
POWERS = ("pow", "float_power")
BESIDE_ONE = ("acosh", "arccosh")
OTHER = torch.tensor([[[0.2], [0.9], [2.0]]]).double()
OF_TWO = ("atan2", "arctan2", "hypot", "xlogy", "logaddexp")
MEASURED = [
    *((f, lambda f, x: f(x)) for f in spelled(*CURVES)),
    *((f, in_copy) for f in in_place(*CURVES, "exp", "log", "sqrt", "rsqrt", "square", "reciprocal")),
    *((f, lambda f, x: f(x, 1.7)) for f in spelled(*POWERS)),
    *((f, lambda f, x: f(x * 1, 1.7)) for f in (*in_place(*POWERS), Tensor.__ipow__)),
    (Tensor.__rpow__, lambda f, x: f(x, 3.0)),
    (torch.pow, lambda f, x: f(3.0, x)),
    *((f, lambda f, x: f(x + 1)) for f in spelled(*BESIDE_ONE)),
    *((f, lambda f, x: in_copy(f, x + 1)) for f in in_place(*BESIDE_ONE)),
    *((f, lambda f, x: f(x, OTHER)) for f in spelled(*OF_TWO)),
    *((f, lambda f, x: f(x * 1, OTHER)) for f in in_place(*OF_TWO)),
    *((f, lambda f, x: f(x, 1)) for f in spelled("logsumexp")),
    *((f, lambda f, x: f(x, 2, 1)[0]) for f in spelled("kthvalue", "topk")),
    *((f, lambda f, x: f(x, 1)[0]) for f in spelled("sort", "median", "nanmedian")),
    *((f, lambda f, x: f(x)) for f in spelled("msort", "median")),
    *((f, lambda f, x: f(x.repeat(1, 2, 1), 1)[0]) for f in spelled("mode")),
    (torch.sort, lambda f, x: f(x, dim=2, descending=True).values),
]
"""Functions with a call at x of shape (2, 3, 2), between 0 and 1: their rule is the real |Jacobian|."""
