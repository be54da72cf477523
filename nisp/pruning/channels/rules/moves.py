"""Operations that move channels: reshape, split, join, pad."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from nisp.pruning.channels.ids import Ids, fixed_ids, varies, wrapped
from nisp.pruning.channels.table import named, opaque, rule

_LIKE_ANOTHER = (Tensor.expand_as, Tensor.view_as, Tensor.reshape_as)


@rule(*[getattr(Tensor, name).__get__ for name in ("T", "mT", "data")], Tensor.unfold, *named(
    "flatten permute transpose squeeze unsqueeze tensor_split __getitem__ "
    "roll expand expand_as repeat repeat_interleave tile flip unbind narrow select movedim moveaxis swapaxes "
    "swapdims t pixel_shuffle pixel_unshuffle ravel view_as reshape_as broadcast_to channel_shuffle "
    "index_select diagonal"
), shaped=True)  # fmt: skip
def _moved(channels: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    if func not in _LIKE_ANOTHER and any(isinstance(leaf, Ids) for leaf in tree_leaves((args[1:], kwargs))):
        return opaque(channels, func, *args, **kwargs)  # positions that depend on values
    return tree_map(wrapped, func(*args, **kwargs))


@rule(*named("view reshape unflatten"), shaped=True)
def _reshaped(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Channels that are reshaped into equal parts are removed from all parts alike."""
    if func is Tensor.view and args and not isinstance(args[0], torch.dtype):
        func = Tensor.reshape  # ids may lie in memory other than the activation
    output = wrapped(func(input, *args, **kwargs))
    for dim in range(input.dim()):
        if input.shape[:dim] != output.shape[:dim]:
            break
        if dim < output.dim() - 1 and output.size(dim) not in (1, input.size(dim)) and varies(input, dim):
            parts = output.size(dim)
            if input.size(dim) % parts == 0:
                row = channels.column(input, dim).reshape(parts, -1)
                for part in row[1:]:
                    channels.tie(row[0], part)
    return output


@rule(*named("split split_with_sizes"), shaped=True)
def _split(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Parts of given sizes; if a module's attribute holds the sizes, they shrink with the channels."""
    sizes, *rest = args if args else [kwargs.pop(name) for name in tuple(kwargs) if name.startswith("split_size")]
    if isinstance(sizes, list | tuple):
        dim = kwargs.get("dim", rest[0] if rest else 0)
        sizes = channels.sizes_left(sizes, input, dim)
    return tree_map(wrapped, func(input, sizes, *rest, **kwargs))


@rule(*named("chunk"), shaped=True)
def _chunk(channels: Any, func: Any, input: Tensor, chunks: int, dim: int = 0) -> Any:
    """Equal parts stay equal: channels are removed from all parts alike."""
    parts = func(input, chunks, dim)
    if varies(input, dim) and len({part.size(dim) for part in parts}) == 1:
        rows = [channels.column(wrapped(part), dim) for part in parts]
        for row in rows[1:]:
            channels.tie(rows[0], row)
    return tree_map(wrapped, parts)


@rule(*named("cat concat concatenate"), shaped=True)
def _joined(channels: Any, func: Any, tensors: Sequence[Tensor], dim: int = 0, **kwargs: Any) -> Tensor:
    """Tensors that do not depend on the input have no channels."""
    dim = kwargs.get("axis", dim)
    parts = [t if isinstance(t, Ids) else fixed_ids(t.shape, t.device) for t in tensors]
    parts = [t for t in parts if t.dim() > 1 or t.numel()]
    shape = list(parts[0].shape)
    dim %= len(shape)
    shape[dim] = sum(t.size(dim) for t in parts)
    if any(t.size(d) != shape[d] for t in parts for d in range(len(shape)) if d != dim):
        raise RuntimeError(f"shapes {[tuple(t.shape) for t in parts]} cannot be joined along {dim}")
    for d in range(len(shape)):
        if d != dim and shape[d] > 1 and all(t.stride(d) == 0 for t in parts):
            parts = [t.narrow(d, 0, 1) for t in parts]
    return wrapped(torch.cat([t.as_subclass(Tensor) for t in parts], dim).expand(shape))


@rule(*named("stack"))
def _stacked(channels: Any, func: Any, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    parts = [t if isinstance(t, Ids) else fixed_ids(t.shape, t.device) for t in tensors]
    return wrapped(torch.stack([t.as_subclass(Tensor) for t in parts], dim))


@rule(F.pad)
def _padded(
    channels: Any, func: Any, input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> Any:
    """Spatial padding belongs to the channel that it extends; padding that adds channels is fixed."""
    output = input.as_subclass(Tensor)
    for index in range(len(pad) // 2):
        before, after = pad[2 * index : 2 * index + 2]
        dim = input.dim() - 1 - index
        if (before or after) and varies(input, dim):
            if mode != "constant":
                return opaque(channels, func, input, pad, mode, value)
            output = F.pad(output, [0, 0] * index + [before, after])
        elif before or after:
            shape = list(output.shape)
            shape[dim] += before + after
            output = output.narrow(dim, 0, 1).expand(shape)
    return wrapped(output)
