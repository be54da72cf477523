"""Functions whose slope has no bound, such as exp and powers: their |derivative| at the responses to the example.

In all of these, every element of a response reaches one element of the result, or none.
"""

from typing import Any

import torch
from torch import Tensor

from nisp.rules.generic import pointwise
from nisp.rules.names import in_place, spelled
from nisp.table import composed, rule

CURVES = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "square", "pow", "float_power",
    "reciprocal", "tan", "sinh", "cosh", "asin", "arcsin", "acos", "arccos", "atanh", "arctanh", "acosh", "arccosh",
    "logit", "sinc", "erfinv", "lgamma", "digamma", "atan2", "arctan2", "hypot", "xlogy",
)  # fmt: skip
REDUCTIONS = ("norm", "vector_norm", "var", "std", "logsumexp", "pairwise_distance", "cosine_similarity")
CHOSEN = ("sort", "msort", "topk", "kthvalue", "median", "nanmedian", "mode")
"""Each result is one of the elements; which one counts as a comparison."""

for _function in (*spelled(*CURVES, *REDUCTIONS, *CHOSEN, "logaddexp"), Tensor.__pow__, Tensor.__rpow__):
    rule(_function)(pointwise(_function))
for _name in CURVES:
    rule(*in_place(_name))(pointwise(getattr(torch, _name)))
rule(Tensor.__ipow__)(pointwise(torch.pow))


@composed(torch.var_mean)
def _var_mean(input: Tensor, dim: Any = None, **kwargs: Any) -> tuple[Tensor, Tensor]:
    return torch.var(input, dim, **kwargs), torch.mean(input, dim, keepdim=kwargs.get("keepdim", False))


@composed(torch.std_mean)
def _std_mean(input: Tensor, dim: Any = None, **kwargs: Any) -> tuple[Tensor, Tensor]:
    return torch.std(input, dim, **kwargs), torch.mean(input, dim, keepdim=kwargs.get("keepdim", False))


@composed(torch.cdist)
def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: Any = None) -> Tensor:
    return torch.linalg.vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)
