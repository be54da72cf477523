"""Functions that run unchanged: they move, copy, sum and average elements, by constants that are not negative."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import Response, measured
from nisp.errors import UserError
from nisp.rules.constants import STEPS
from nisp.rules.generic import as_is, lipschitz, writing
from nisp.rules.names import in_place, spelled
from nisp.table import Adjoint, composed, rule

MOVES = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack", "block_diag",
    "flatten", "ravel", "reshape", "unflatten", "permute", "transpose", "swapaxes", "swapdims", "movedim",
    "moveaxis", "t", "adjoint", "squeeze", "unsqueeze", "atleast_1d", "atleast_2d", "atleast_3d", "chunk", "split",
    "tensor_split", "split_with_sizes", "unsafe_chunk", "unsafe_split", "hsplit", "vsplit", "dsplit", "unbind",
    "expand", "broadcast_to", "broadcast_tensors", "meshgrid", "narrow", "select", "index_select", "gather",
    "take_along_dim", "take", "masked_select", "roll", "flip", "fliplr", "flipud", "rot90", "repeat", "tile",
    "repeat_interleave", "pad", "unfold", "fold", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "where", "diagonal", "diag", "diag_embed", "tril", "triu",
)  # fmt: skip
SUMS = (
    "sum", "nansum", "mean", "cumsum", "trace", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
)  # fmt: skip
WRITES = (
    "masked_fill", "masked_scatter", "index_fill", "index_copy", "index_put", "select_scatter",
    "slice_scatter", "diagonal_scatter",
)  # fmt: skip
"""Into a copy of the first argument, or into itself."""

RESHAPED = ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims", "tril", "triu", "cumsum")
"""Also in place."""

_properties: tuple[Any, ...] = (
    Tensor.T.__get__, Tensor.mT.__get__, Tensor.H.__get__, Tensor.mH.__get__,  # type: ignore[attr-defined]
)  # fmt: skip
for _function in (*spelled(*MOVES, *SUMS, *WRITES, "embedding"), *_properties, Tensor.__getitem__):
    rule(_function)(as_is(_function))
for _name in WRITES:
    if in_place(_name):
        rule(*in_place(_name))(as_is(writing(getattr(Tensor, f"{_name}_"))))
for _name in RESHAPED:
    rule(*in_place(_name))(as_is(getattr(Tensor, _name)))
for _function in (Tensor.copy_, Tensor.__setitem__):
    rule(_function)(as_is(writing(_function)))

COPIES = (
    "contiguous", "clone", "float", "double", "half", "bfloat16", "cpu", "cuda", "detach", "resolve_conj",
    "resolve_neg",
)  # fmt: skip
_values: tuple[Any, ...] = (Tensor.data.__get__, Tensor.real.__get__)  # type: ignore[attr-defined]
rule(*spelled(*COPIES), *_values, torch.nn.Identity.forward)(lipschitz(1))


@rule(Tensor.to, Tensor.type, Tensor.type_as)
def _cast(input: Tensor, *args: Any, **kwargs: Any) -> Adjoint | None:
    """To floating-point numbers; to booleans it is a comparison. `Tensor.type` without a type gives a name."""
    wanted = [*args, *kwargs.values()]
    if not isinstance(input, Response) or wanted == []:
        return None
    types = [other.dtype if isinstance(other, Tensor) else other for other in wanted]
    types = [torch.empty(0).type(name).dtype if _is_type(name) else name for name in types]
    dtype = next((found for found in types if isinstance(found, torch.dtype)), input.dtype)
    if dtype == torch.bool:
        measured(input)
        return None
    if not dtype.is_floating_point:
        raise UserError(f"NISP has no rule for a conversion to {dtype}: {STEPS}")
    return lipschitz(1)(input, *args, **kwargs)


@rule(Tensor.view)
def _view(input: Tensor, *shape: Any, **kwargs: Any) -> Adjoint | None:
    if isinstance((*shape, *kwargs.values())[0], torch.dtype):
        raise UserError("NISP has no rule for a view of a response's bits as another type")
    return as_is(Tensor.view)(input, *shape, **kwargs)


def _is_type(name: Any) -> bool:
    return isinstance(name, type) or (isinstance(name, str) and name.endswith("Tensor"))


@rule(Tensor.view_as, Tensor.reshape_as, Tensor.expand_as)
def _like(input: Tensor, other: Tensor) -> Adjoint | None:
    """Only the shape of the second tensor is used."""
    if not isinstance(input, Response):
        return None
    back = as_is(Tensor.expand if other.dim() > input.dim() or other.numel() != input.numel() else Tensor.reshape)(
        input, other.shape
    )
    assert back is not None
    nothing = [None] * isinstance(other, Response)  # asked now: after the pass, it is a plain tensor
    return lambda score: [*back(score), *nothing]


@rule(*spelled("zero_", "fill_"))
def _overwritten(input: Tensor, value: Any = 0) -> Adjoint:
    """Nothing of the tensor is left."""
    filled = isinstance(value, Response)
    return lambda score: [torch.zeros_like(score)] + ([score.sum().reshape(value.shape)] if filled else [])


@rule(*spelled("index_add", "index_add_"))
def _index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Adjoint | None:
    return as_is(torch.index_add)(input, dim, index, source, alpha=abs(alpha))


def _scattering(func: Any) -> Any:
    """Only as much of the source as there are indices is used; derivatives need it cut to that."""

    def scattered(target: Tensor, dim: int, index: Tensor, src: Any, **kwargs: Any) -> Tensor:
        if isinstance(src, Tensor) and src.dim():
            src = src[tuple(slice(size) for size in index.shape)]
        return func(target, dim, index, src, **kwargs)

    return scattered


for _name in ("scatter", "scatter_add"):
    rule(*spelled(_name, f"{_name}_"))(as_is(_scattering(getattr(torch, _name))))
rule(F.native_channel_shuffle)(as_is(F.channel_shuffle))


@composed(*spelled("detach_", "requires_grad_"))
def _same(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return input


@composed(*spelled("diff"))
def _difference(input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    parts = [part for part in (prepend, input, append) if part is not None]
    joined = torch.cat(parts, dim) if len(parts) > 1 else input
    for _ in range(n):
        length = joined.shape[dim] - 1
        joined = joined.narrow(dim, 1, length) - joined.narrow(dim, 0, length)
    return joined


@composed(F.lp_pool1d, F.lp_pool2d, F.lp_pool3d)
def _power_pool(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """Root of the sum of powers over a window."""
    dimensions = input.dim() - 2
    kernel = [kernel_size] * dimensions if isinstance(kernel_size, int) else list(kernel_size)
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dimensions - 1]
    means = pool(input.pow(norm_type), kernel, stride, 0, ceil_mode)
    return (F.relu(means) * torch.Size(kernel).numel()).pow(1 / norm_type)
