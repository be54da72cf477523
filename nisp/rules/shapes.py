"""Functions that run unchanged: they move, copy, sum and average elements, by constants that are not negative."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import Adjoint, Response, composed, rule
from nisp.rules.generic import as_is, lipschitz, writing
from nisp.rules.names import spelled

MOVES = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "row_stack", "block_diag",
    "flatten", "ravel", "view", "reshape", "unflatten", "permute", "transpose", "swapaxes", "swapdims", "movedim",
    "moveaxis", "t", "adjoint", "squeeze", "unsqueeze", "atleast_1d", "atleast_2d", "atleast_3d", "chunk", "split",
    "tensor_split", "split_with_sizes", "unsafe_chunk", "unsafe_split", "hsplit", "vsplit", "dsplit", "unbind",
    "expand", "broadcast_to", "broadcast_tensors", "meshgrid", "narrow", "select", "index_select", "gather",
    "take_along_dim", "take", "masked_select", "roll", "flip", "fliplr", "flipud", "rot90", "repeat", "tile",
    "repeat_interleave", "pad", "unfold", "fold", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "where", "diagonal", "diag", "diag_embed", "tril", "triu",
)  # fmt: skip
SUMS = (
    "sum", "nansum", "mean", "cumsum", "trace", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d",
)  # fmt: skip
WRITES = (
    "masked_fill", "masked_scatter", "index_fill", "index_copy", "index_put", "scatter", "scatter_add",
    "select_scatter", "slice_scatter", "diagonal_scatter",
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
    if hasattr(Tensor, f"{_name}_"):
        rule(getattr(Tensor, f"{_name}_"))(as_is(writing(getattr(Tensor, f"{_name}_"))))
for _name in RESHAPED:
    rule(getattr(Tensor, f"{_name}_"))(as_is(getattr(Tensor, _name)))
for _function in (Tensor.copy_, Tensor.__setitem__):
    rule(_function)(as_is(writing(_function)))

COPIES = (
    "contiguous", "clone", "to", "float", "double", "half", "bfloat16", "type_as", "cpu", "cuda", "detach", "detach_",
    "requires_grad_", "alias", "resolve_conj", "resolve_neg",
)  # fmt: skip
_values: tuple[Any, ...] = (Tensor.data.__get__, Tensor.real.__get__)  # type: ignore[attr-defined]
rule(*spelled(*COPIES), *_values, torch.nn.Identity.forward)(lipschitz(1))


@rule(Tensor.type)
def _type(input: Tensor, dtype: Any = None, *args: Any, **kwargs: Any) -> Adjoint | None:
    """Without a type, the name of the tensor's own."""
    return None if dtype is None else lipschitz(1)(input)


@rule(Tensor.view_as, Tensor.reshape_as, Tensor.expand_as)
def _like(input: Tensor, other: Tensor) -> Adjoint | None:
    """Only the shape of the second tensor is used."""
    if not isinstance(input, Response):
        return None
    back = as_is(Tensor.expand if other.dim() > input.dim() or other.numel() != input.numel() else Tensor.reshape)(
        input, other.shape
    )
    assert back is not None
    return lambda score: [*back(score), *[None] * isinstance(other, Response)]


@rule(*spelled("zero_", "fill_"))
def _overwritten(input: Tensor, value: Any = 0) -> Adjoint:
    """Nothing of the tensor is left."""
    filled = isinstance(value, Response)
    return lambda score: [torch.zeros_like(score)] + ([score.sum().reshape(value.shape)] if filled else [])


@rule(*spelled("index_add", "index_add_"))
def _index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Adjoint | None:
    return as_is(torch.index_add)(input, dim, index, source, alpha=abs(alpha))


@composed(Tensor.__iter__)
def _iterated(input: Tensor) -> Iterator[Tensor]:
    return iter(input.unbind(0))


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
