"""Operations of PyTorch's dispatcher that have no function of the same name and arguments in torch, Tensor or F.

Scripted functions call them (`nisp.pruning.dispatch`). Their further outputs serve PyTorch's backward pass only.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.rules.generic import as_is, lipschitz
from nisp.table import Adjoint, composed, rule

aten = torch.ops.aten
MODES, PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")

_linear = (
    aten.upsample_nearest1d, aten.upsample_nearest2d, aten.upsample_nearest3d, aten.upsample_linear1d,
    aten.upsample_bilinear2d, aten.upsample_trilinear3d, aten._upsample_bilinear2d_aa, aten._adaptive_avg_pool2d,
    aten._adaptive_avg_pool3d, aten.constant_pad_nd, aten.reflection_pad1d, aten.reflection_pad2d,
    aten.reflection_pad3d, aten.replication_pad1d, aten.replication_pad2d, aten.replication_pad3d, aten.im2col,
    aten.col2im, aten._unsafe_view,
)  # fmt: skip
for _function in _linear:
    rule(_function)(as_is(_function))
rule(aten.alias)(lipschitz(1))
composed(aten._cdist_forward)(torch.cdist)
composed(aten.linalg_vector_norm)(torch.linalg.vector_norm)
composed(aten.adaptive_max_pool2d)(lambda input, size: F.adaptive_max_pool2d(input, size, return_indices=True))
composed(aten.adaptive_max_pool3d)(lambda input, size: F.adaptive_max_pool3d(input, size, return_indices=True))
composed(aten._softmax)(lambda input, dim, half_to_float: F.softmax(input, dim))
composed(aten._log_softmax)(lambda input, dim, half_to_float: F.log_softmax(input, dim))
composed(aten.log_sigmoid_forward)(lambda input: (F.logsigmoid(input), torch.empty(0)))


@composed(aten.slice)
def _slice(input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    return input.movedim(dim, 0)[start:end:step].movedim(0, dim)


@composed(aten._to_copy)
def _to_copy(input: Tensor, *, dtype: Any = None, device: Any = None, **_: Any) -> Tensor:
    return input.to(device=device or input.device, dtype=dtype or input.dtype)


@composed(aten.upsample_bicubic2d)
def _bicubic(input: Tensor, size: Any, align_corners: bool, rows: Any = None, columns: Any = None) -> Tensor:
    if rows is None or columns is None:
        return F.interpolate(input, tuple(size), None, "bicubic", align_corners)
    return F.interpolate(input, None, (rows, columns), "bicubic", align_corners)


@composed(aten.native_layer_norm)
def _layer_norm(input: Tensor, shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Tensor, ...]:
    return F.layer_norm(input, shape, weight, bias, eps), *_unused(2)


@composed(aten.native_group_norm)
def _group_norm(
    input: Tensor, weight: Any, bias: Any, n: int, channels: int, positions: int, groups: int, eps: float
) -> tuple[Tensor, ...]:
    return F.group_norm(input, groups, weight, bias, eps), *_unused(2)


@composed(aten.native_batch_norm)
def _batch_norm(
    input: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float
) -> tuple[Tensor, ...]:
    return F.batch_norm(input, mean, var, weight, bias, training, momentum, eps), *_unused(2)


@composed(aten.cudnn_batch_norm)
def _cudnn_batch_norm(
    input: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float
) -> tuple[Tensor, ...]:
    return F.batch_norm(input, mean, var, weight, bias, training, momentum, eps), *_unused(3)


@composed(aten.grid_sampler_2d, aten.grid_sampler_3d)
def _grid_sampler(input: Tensor, grid: Tensor, mode: int, padding: int, align_corners: bool) -> Tensor:
    return F.grid_sample(input, grid, MODES[mode], PADDINGS[padding], align_corners)


@composed(aten._scaled_dot_product_flash_attention_for_cpu)
def _attention(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, is_causal: bool = False, *,
    attn_mask: Any = None, scale: float | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale), *_unused(1)


@rule(aten._prelu_kernel)
def _prelu(input: Tensor, weight: Tensor) -> Adjoint:
    slopes = weight.detach().double().abs().clamp_min(1)
    return lambda score: [score * slopes]


def _unused(count: int) -> list[Tensor]:
    return [torch.empty(0)] * count
