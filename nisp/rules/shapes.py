"""Functions that run unchanged (moving, copying, summing, averaging elements), and functions that give constants."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import COMPARISONS, CONSTANTS, Adjoint, Response, rule
from nisp.rules.generic import as_is, lipschitz

_moves = (
    torch.cat, torch.concat, torch.concatenate, torch.stack, torch.flatten, Tensor.flatten, Tensor.view,
    Tensor.reshape, torch.reshape, Tensor.permute, torch.permute, Tensor.transpose, torch.transpose, torch.swapaxes,
    Tensor.swapaxes, Tensor.swapdims, torch.movedim, Tensor.movedim, Tensor.t, torch.t,
    Tensor.__getitem__, torch.squeeze, Tensor.squeeze, torch.unsqueeze, Tensor.unsqueeze,
    torch.chunk, Tensor.chunk, torch.split, Tensor.split, torch.tensor_split, Tensor.tensor_split,
    torch.functional.split, torch.split_with_sizes, Tensor.split_with_sizes, torch.unbind, Tensor.unbind,
    Tensor.unflatten, torch.unflatten, Tensor.expand, torch.narrow, Tensor.narrow, torch.select, Tensor.select,
    torch.index_select, Tensor.index_select, torch.gather, Tensor.gather, torch.roll, Tensor.roll, torch.flip,
    Tensor.flip, torch.rot90, Tensor.rot90, Tensor.repeat, torch.tile, Tensor.tile, torch.repeat_interleave,
    Tensor.repeat_interleave, F.pad, F.unfold, F.fold, Tensor.unfold, F.pixel_shuffle, F.pixel_unshuffle,
    torch.pixel_shuffle, torch.pixel_unshuffle, F.channel_shuffle, torch.channel_shuffle, torch.masked_fill,
    Tensor.masked_fill, torch.where, torch.diagonal, Tensor.diagonal, torch.tril, torch.triu,
)  # fmt: skip
_sums = (
    torch.sum, Tensor.sum, torch.mean, Tensor.mean, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d,
    F.adaptive_avg_pool2d, F.adaptive_avg_pool3d, torch.avg_pool1d, torch.adaptive_avg_pool1d,
)  # fmt: skip
_properties: tuple[Any, ...] = (Tensor.T.__get__, Tensor.mT.__get__)  # type: ignore[attr-defined]
for _function in (*_moves, *_properties, *_sums):
    rule(_function)(as_is(_function))

rule(
    Tensor.contiguous, Tensor.clone, torch.clone, Tensor.to, Tensor.float, Tensor.double, Tensor.half,
    Tensor.bfloat16, Tensor.type, Tensor.type_as, Tensor.cpu, Tensor.cuda, torch.nn.Identity.forward,
)(lipschitz(1))  # fmt: skip


@rule(Tensor.view_as, Tensor.reshape_as, Tensor.expand_as)
def _like(input: Tensor, other: Tensor) -> Adjoint:
    """Only the shape of the second tensor is used."""
    back = as_is(Tensor.expand if other.dim() > input.dim() or other.numel() != input.numel() else Tensor.reshape)(
        input, other.shape
    )
    return lambda score: [*back(score), *[None] * isinstance(other, Response)]


@rule(F.interpolate)
def _interpolate(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", *args: Any, **kwargs: Any
) -> Adjoint:
    if mode != "bicubic":
        return as_is(F.interpolate)(input, size, scale_factor, mode, *args, **kwargs)
    # Some bicubic weights are negative. It is separable, so one matrix per axis has all weights.
    matrices = []
    for axis in (0, 1):
        onto = None if size is None else (size if isinstance(size, int) else size[axis], 1)
        factor = scale_factor if scale_factor is None or isinstance(scale_factor, int | float) else scale_factor[axis]
        unit = torch.eye(input.shape[2 + axis], dtype=torch.float64, device=input.device)[None, :, :, None]
        one = F.interpolate(unit, onto, None if factor is None else (factor, 1.0), mode, *args, **kwargs)
        matrices.append(one[0, :, :, 0].abs())
    rows, columns = matrices
    return lambda score: [rows @ score @ columns.T]


@rule(Tensor.__setitem__)
def _assigned(input: Tensor, index: Any, value: Any) -> Adjoint:
    def written(target: Tensor, source: Any) -> Tensor:
        copy = target.clone()
        copy[index] = source
        return copy

    return as_is(written)(input, value)


CONSTANTS |= {
    Tensor.size, Tensor.dim, Tensor.numel, Tensor.nelement, Tensor.__len__, Tensor.stride, Tensor.is_floating_point,
    Tensor.is_contiguous, Tensor.is_complex, Tensor.element_size, Tensor.storage_offset, Tensor.ndimension,
    Tensor.get_device, Tensor.data_ptr, Tensor.__hash__, torch.is_floating_point, torch.is_complex, torch.numel,
    torch.zeros_like, torch.ones_like, torch.empty_like, torch.full_like, torch.rand_like, torch.randn_like,
    Tensor.new_zeros, Tensor.new_ones, Tensor.new_empty, Tensor.new_full, Tensor.new_tensor,
}  # fmt: skip
COMPARISONS |= {
    Tensor.__eq__, Tensor.__ne__, Tensor.__lt__, Tensor.__le__, Tensor.__gt__, Tensor.__ge__, Tensor.eq, Tensor.ne,
    Tensor.lt, Tensor.le, Tensor.gt, Tensor.ge, torch.eq, torch.ne, torch.lt, torch.le, torch.gt, torch.ge,
    torch.argmax, Tensor.argmax, torch.isnan, torch.isinf, torch.isfinite,
}  # fmt: skip
