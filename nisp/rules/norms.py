"""Normalisation.

Batch norm in inference multiplies by constants: |gamma| / sqrt(var + eps) per channel. The other norms divide by
statistics of the response itself. Their bound is the absolute Jacobian at the responses to the example, term by term:
for y = gamma (x - mean) / sigma over n elements,

    |dy_i| <= |gamma_i| / sigma * sum_j (|delta_ij - 1/n| + |z_i| |z_j| / n) |dx_j|,    z = (x - mean) / sigma.

The first term is the subtraction of the mean, the second the change of the divisor.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import GAINS, NORMS, Adjoint, measured, rule
from nisp.errors import UserError
from nisp.rules.generic import lipschitz


@rule(F.batch_norm)
def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *args: Any,
) -> Adjoint:
    if running_var is None or training:
        raise UserError("NISP needs batch norms with running statistics")
    gain = _batch_norm_gain(running_var, weight, eps)
    return lambda score: [score * gain.reshape(1, -1, *[1] * (score.dim() - 2))]


@rule(torch.batch_norm)
def _torch_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Adjoint:
    """The same function with its arguments in another order."""
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _batch_norm_gain(running_var: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    gain = torch.rsqrt(running_var.detach().double() + eps)
    return gain if weight is None else gain * weight.detach().double().abs()


def _mean_gain(
    input: Tensor, mean: Any, running_var: Any, weight: Any = None, bias: Any = None, *args: Any, **kwargs: Any
) -> float:
    return _batch_norm_gain(running_var, weight, kwargs.get("eps", 1e-5)).mean().item()


def _torch_mean_gain(input: Tensor, weight: Any, bias: Any, mean: Any, running_var: Any, *args: Any) -> float:
    return _mean_gain(input, mean, running_var, weight)


NORMS |= {F.batch_norm, torch.batch_norm}
GAINS[F.batch_norm], GAINS[torch.batch_norm] = _mean_gain, _torch_mean_gain


@rule(F.layer_norm)
def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Adjoint:
    values = measured(input).flatten(input.dim() - len(normalized_shape))
    back = _standardised(values, eps, centred=True)
    return lambda score: [back(_weighted(score, weight).reshape(values.shape)).reshape(score.shape)]


@rule(F.rms_norm)
def _rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Adjoint:
    values = measured(input).flatten(input.dim() - len(normalized_shape))
    back = _standardised(values, torch.finfo(input.dtype).eps if eps is None else eps, centred=False)
    return lambda score: [back(_weighted(score, weight).reshape(values.shape)).reshape(score.shape)]


@rule(F.group_norm)
def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Adjoint:
    values = measured(input).reshape(len(input), num_groups, -1)
    back = _standardised(values, eps, centred=True)
    channels = None if weight is None else weight.reshape(-1, *[1] * (input.dim() - 2))
    return lambda score: [back(_weighted(score, channels).reshape(values.shape)).reshape(score.shape)]


@rule(F.instance_norm)
def _instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Adjoint:
    if not use_input_stats:
        return _batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    return _group_norm(input, input.shape[1], weight, bias, eps)


@rule(F.normalize)
def _normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None) -> Adjoint:
    """y = x / |x|: |dy_i| <= (|dx_i| + |y_i| sum_j |y_j| |dx_j|) / |x|."""
    if p != 2:
        raise UserError(f"NISP has no rule for the operation normalize with p={p}")
    length = torch.linalg.vector_norm(measured(input), dim=dim, keepdim=True).clamp_min(eps)
    size = (measured(input) / length).abs()
    return lambda score: [(score + size * (size * score).sum(dim, keepdim=True)) / length]


@rule(F.local_response_norm)
def _local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Adjoint:
    """Identity: for k >= 1, dividing by (k + ...)^beta only shrinks; the neighbours in the divisor are ignored."""
    if k < 1:
        raise UserError(f"NISP has no rule for the operation local_response_norm with k={k}, below 1")
    return lipschitz(1)(input)


def _weighted(score: Tensor, weight: Tensor | None) -> Tensor:
    return score if weight is None else score * weight.detach().double().abs()


def _standardised(values: Tensor, eps: float, centred: bool) -> Any:
    """Adjoint of dividing by the standard deviation (``centred``) or the root mean square over the last dimension."""
    n = values.shape[-1]
    mean = values.mean(-1, keepdim=True) if centred else 0
    centre = values - mean
    divisor = centre.square().mean(-1, keepdim=True).add(eps).sqrt()
    size = (centre / divisor).abs()

    def back(score: Tensor) -> Tensor:
        total = score + size * (size * score).mean(-1, keepdim=True)
        if centred:
            total = total - 2 / n * score + score.mean(-1, keepdim=True)
        return total / divisor

    return back
