"""Normalisation.

Batch norm in inference multiplies by constants: |gamma| / sqrt(var + eps) per channel. The other norms divide by
statistics of the response itself. Their bound is the absolute Jacobian at the responses to the example, term by term:
for y = gamma (x - mean) / sigma over n elements,

    |dy_i| <= |gamma_i| / sigma * sum_j (|delta_ij - 1/n| + |z_i| |z_j| / n) |dx_j|,    z = (x - mean) / sigma.

The first term is the subtraction of the mean, the second the change of the divisor.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import measured
from nisp.errors import UserError
from nisp.rules.generic import lipschitz
from nisp.rules.names import spelled
from nisp.table import GAINS, NORMS, Adjoint, rule


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
) -> Adjoint:
    if running_var is None:
        return _batch_statistics(input, weight, eps)
    if training:
        raise UserError("NISP has no rule for a batch norm that updates its running statistics")
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
) -> Adjoint | None:
    """The same function with its arguments in another order."""
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _batch_norm_gain(running_var: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    gain = torch.rsqrt(running_var.detach().double() + eps)
    return gain if weight is None else gain * weight.detach().double().abs()


def _batch_statistics(input: Tensor, weight: Tensor | None, eps: float) -> Adjoint:
    """Without running statistics, each channel is standardised over the batch and all positions."""
    values = measured(input).movedim(1, 0)
    back = _standardised(values.flatten(1), eps, centred=True)
    channels = None if weight is None else weight.reshape(-1, *[1] * (input.dim() - 2))

    def adjoint(score: Tensor) -> list[Tensor]:
        rows = _weighted(score, channels).movedim(1, 0)
        return [back(rows.flatten(1)).reshape(rows.shape).movedim(0, 1)]

    return adjoint


def _mean_gain(
    input: Tensor, mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    momentum: float = 0.1, eps: float = 1e-5,
) -> float:  # fmt: skip
    return 1.0 if running_var is None else _batch_norm_gain(running_var, weight, eps).mean().item()


def _torch_mean_gain(
    input: Tensor,
    weight: Any,
    bias: Any,
    mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    _: Any,
) -> float:
    return _mean_gain(input, mean, running_var, weight, eps=eps)


NORMS |= {F.batch_norm, torch.batch_norm}
GAINS[F.batch_norm], GAINS[torch.batch_norm] = _mean_gain, _torch_mean_gain


@rule(*spelled("layer_norm"))
def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Adjoint:
    values = measured(input).flatten(input.dim() - len(normalized_shape))
    back = _standardised(values, eps, centred=True)
    return lambda score: [back(_weighted(score, weight).reshape(values.shape)).reshape(score.shape)]


@rule(*spelled("rms_norm"))
def _rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Adjoint:
    values = measured(input).flatten(input.dim() - len(normalized_shape))
    back = _standardised(values, torch.finfo(input.dtype).eps if eps is None else eps, centred=False)
    return lambda score: [back(_weighted(score, weight).reshape(values.shape)).reshape(score.shape)]


@rule(*spelled("group_norm"))
def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
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
) -> Adjoint | None:
    if use_input_stats:
        return _group_norm(input, input.shape[1], weight, bias, eps)
    if running_var is None:
        raise UserError("NISP has no rule for an instance norm without statistics")
    return _batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)


@rule(torch.instance_norm)
def _torch_instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Adjoint | None:
    """The same function with its arguments in another order."""
    return _instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


@rule(F.normalize)
def _normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: None = None) -> Adjoint:
    """y = x / |x|_p: |dy_i| <= (|dx_i| + |y_i| sum_j g_j |dx_j|) / |x|_p; g_j = |y_j|^(p - 1) is |d|x|_p / dx_j|."""
    if not 1 <= p < math.inf:
        raise UserError(f"NISP has no rule for the operation normalize with p={p}")
    values = _precise(measured(input))
    length = torch.linalg.vector_norm(values, p, dim, keepdim=True).clamp_min(eps)
    size = (values / length).abs()
    return lambda score: [(score + size ** (p - 1) * (size * score).sum(dim, keepdim=True)) / length]


@rule(F.local_response_norm)
def _local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Adjoint | None:
    """Identity: for k >= 1, dividing by (k + ...)^beta only shrinks; the neighbours in the divisor are ignored."""
    if k < 1:
        raise UserError(f"NISP has no rule for the operation local_response_norm with k={k}, below 1")
    return lipschitz(1)(input)


def _precise(values: Tensor) -> Tensor:
    """Statistics are computed in float32 or better."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _weighted(score: Tensor, weight: Tensor | None) -> Tensor:
    return score if weight is None else score * weight.detach().double().abs()


def _standardised(values: Tensor, eps: float, centred: bool) -> Any:
    """Adjoint of dividing by the standard deviation (``centred``) or the root mean square over the last dimension."""
    values = _precise(values)
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
