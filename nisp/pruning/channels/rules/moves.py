"""Operations that move channels: reshape, split, join, pad."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from nisp.pruning.channels.ids import Ids, fixed_ids, unique, varies, wrapped
from nisp.pruning.channels.rules.meetings import tied
from nisp.pruning.channels.table import named, opaque, rule

_LIKE_ANOTHER = (Tensor.expand_as, Tensor.view_as, Tensor.reshape_as)


@rule(*[getattr(Tensor, name).__get__ for name in ("T", "mT", "data")], Tensor.unfold, *named(
    "flatten permute transpose squeeze unsqueeze "
    "roll expand expand_as repeat repeat_interleave tile flip unbind select movedim moveaxis swapaxes "
    "swapdims t pixel_unshuffle ravel view_as reshape_as broadcast_to channel_shuffle "
    "index_select diagonal"
), shaped=True)  # fmt: skip
def _moved(channels: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    if func not in _LIKE_ANOTHER and any(isinstance(leaf, Ids) for leaf in tree_leaves((args[1:], kwargs))):
        return opaque(channels, func, *args, **kwargs)  # positions that depend on values
    return tree_map(wrapped, func(*args, **kwargs))


@rule(*named("view reshape unflatten"), shaped=True)
def _reshaped(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Channels that are reshaped into parts: the same go from all parts, or whole parts go."""
    if func is Tensor.view and args and not isinstance(args[0], torch.dtype):
        func = Tensor.reshape  # ids may lie in memory other than the activation
    output = wrapped(func(input, *args, **kwargs))
    for dim in range(input.dim()):
        if input.shape[:dim] != output.shape[:dim]:
            break
        parts = output.size(dim) if dim < output.dim() - 1 else 1
        if parts not in (1, input.size(dim)) and input.size(dim) % parts == 0 and varies(input, dim):
            of_one = func in (torch.unflatten, Tensor.unflatten)
            shrinking = _left_open(*args[of_one:], **kwargs) - (0 if of_one else dim)
            channels.alike(_ways(channels.column(input, dim), output.shape[dim:], shrinking), apart=False)
    return output


def _left_open(*args: Any, **kwargs: Any) -> int:
    """Which of the sizes given to a reshape is -1; a negative number if none is."""
    for sizes in (args, *args, *kwargs.values()):
        if isinstance(sizes, list | tuple) and -1 in sizes[:]:
            return list(sizes).index(-1)
    return -1


def _ways(row: np.ndarray, shape: Sequence[int], shrinking: int) -> list[np.ndarray]:
    """Ways to tie channels that become dimensions of ``shape``: one of these shrinks.

    That is dimension ``shrinking``, if it is among them; else the last ones are tried first.
    """
    sizes: list[int] = []
    for size in shape:
        if math.prod(sizes) < len(row):
            sizes.append(size)
    ways = [row.reshape(shape[0], -1)]
    if math.prod(sizes) == len(row):
        dims = [d for d in reversed(range(len(sizes))) if sizes[d] > 1]
        shrunk = {d: np.moveaxis(row.reshape(sizes), d, -1).reshape(-1, sizes[d]) for d in dims}
        ways = [*([shrunk[shrinking]] if shrinking in shrunk else []), *ways, *shrunk.values()]
    return [way for n, way in enumerate(ways) if not any(np.array_equal(way, other) for other in ways[:n])]


@rule(*named("__getitem__"), shaped=True)
def _indexed(channels: Any, func: Any, input: Tensor, index: Any) -> Any:
    """A slice of the channels relies on their order and number, as a split does."""
    if any(isinstance(leaf, Ids) for leaf in tree_leaves(index)):
        return opaque(channels, func, input, index)  # positions that depend on values
    places = index if isinstance(index, tuple) else (index,)
    dim = 0
    for n, place in enumerate(places if isinstance(input, Ids) else ()):
        if place is Ellipsis:
            dim = -sum(later is not None for later in places[n + 1 :])
        elif isinstance(place, slice):
            _sliced(channels, input, dim, range(input.size(dim))[place])
        elif not isinstance(place, int | None) or isinstance(place, bool):
            break  # from here on, dimensions are not known
        dim += place is not None and place is not Ellipsis
    return tree_map(wrapped, func(input, index))


@rule(*named("narrow"), shaped=True)
def _narrowed(channels: Any, func: Any, input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    if isinstance(start, int):
        _sliced(channels, input, dim, range(input.size(dim))[start:][:length])
    return wrapped(func(input, dim, start, length))


def _sliced(channels: Any, input: Tensor, dim: int, places: range) -> None:
    """Tie channels so that ``places`` (indices along ``dim``) stay the same share of them."""
    size = input.size(dim)
    if not places or len(places) == size or not _alone(input, dim):
        return
    step = abs(places.step)
    if step == 1:
        _proportional(channels, input, dim, [min(places[0], places[-1]), max(places[0], places[-1]) + 1])
    elif size % step == 0 and len(places) == size // step:
        channels.alike([channels.column(input, dim).reshape(-1, step).T], apart=True)


def _proportional(channels: Any, input: Tensor, dim: int, ends: Sequence[int]) -> None:
    """Tie channels so that parts that end at ``ends`` along ``dim`` stay the same shares of them."""
    if _alone(input, dim):
        unit = math.gcd(input.size(dim), *ends)
        channels.alike(
            [channels.column(input, dim).reshape(-1, unit)] if 1 < unit < input.size(dim) else [], apart=True
        )


def _alone(input: Tensor, dim: int) -> bool:
    """Whether channels lie along ``dim`` and no other dimension."""
    others = [d for d in range(input.dim()) if d != dim % input.dim()]
    return varies(input, dim) and not any(varies(input, d) for d in others)


@rule(*named("split split_with_sizes"), shaped=True)
def _split(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Parts of given sizes; if a module's attribute holds the sizes, they shrink with the channels."""
    sizes, *rest = args if args else [kwargs.pop(name) for name in tuple(kwargs) if name.startswith("split_size")]
    dim = kwargs.get("dim", rest[0] if rest else 0)
    held = isinstance(sizes, list | tuple) and channels.names.holder_of(sizes) is not None
    if isinstance(sizes, list | tuple):
        sizes = channels.sizes_left(sizes, input, dim)
    parts = func(input, sizes, *rest, **kwargs)
    if not held:
        _proportional(channels, input, dim, list(itertools.accumulate(part.size(dim) for part in parts)))
    return tree_map(wrapped, parts)


@rule(*named("chunk tensor_split"), shaped=True)
def _chunk(channels: Any, func: Any, input: Tensor, chunks: Any = None, dim: int = 0, **named: Any) -> Any:
    """Equal parts stay equal: channels are removed from all parts alike. Unequal parts are left whole.

    ``named``: tensor_split calls its parts indices or sections.
    """
    chunks = next(iter(named.values()), chunks)
    parts = func(input, chunks, dim)
    if not isinstance(chunks, int):
        _proportional(channels, input, dim, [end for end in chunks if 0 <= end <= input.size(dim)])
    elif varies(input, dim) and len({part.size(dim) for part in parts}) > 1:
        channels.fix(unique(input), "is split into unequal parts")
    elif _alone(input, dim):
        row = channels.column(input, dim).reshape(len(parts), -1)
        for part in row[1:]:
            channels.tie(row[0], part)
    return tree_map(wrapped, parts)


@rule(F.glu, shaped=True)
def _gated(channels: Any, func: Any, input: Tensor, dim: int = -1) -> Tensor:
    """One half gates the other, so the same channels go from both."""
    value, gate = input.as_subclass(Tensor).chunk(2, dim)
    if value.shape != gate.shape:
        raise RuntimeError(f"{input.size(dim)} channels cannot be halved")
    return tied(channels, value, gate)


@rule(*named("pixel_shuffle"), shaped=True)
def _pixel_shuffled(channels: Any, func: Any, input: Tensor, upscale_factor: int) -> Tensor:
    """The sub-pixels of a channel go together, and their ids become one."""
    output = wrapped(func(input, upscale_factor))
    if any(varies(input, d) for d in (-2, -1)):
        return output
    corner = input.as_subclass(Tensor)[..., :1, :1]
    ids = channels.joined(wrapped(func(corner, upscale_factor)), [input.dim() - 2, input.dim() - 1])
    return wrapped(ids.expand(output.shape))


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
    """All have the same shape, so all lose the same channels."""
    parts = [t if isinstance(t, Ids) else fixed_ids(t.shape, t.device) for t in tensors]
    varying = [t for t in tensors if isinstance(t, Ids)]
    for part in varying[1:]:
        tied(channels, varying[0], part)
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
