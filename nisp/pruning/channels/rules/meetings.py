"""Operations in which activations meet: sums, products, attention, and sums along a dimension."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from nisp.pruning.channels.counts import report_values
from nisp.pruning.channels.ids import Ids, claim, claimed, compressed, fixed_ids, unique, varies, wrapped
from nisp.pruning.channels.rules.computed import computed_product
from nisp.pruning.channels.table import named, opaque, rule


@rule(*named(
    "add add_ sub sub_ subtract mul mul_ multiply div div_ divide true_divide maximum minimum rsub __add__ __radd__ "
    "__iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__ __rtruediv__ __itruediv__ __div__ "
    "eq ne lt le gt ge not_equal less less_equal greater greater_equal __eq__ __ne__ __lt__ __le__ __gt__ "
    "__ge__ logical_and logical_or logical_xor __and__ __or__ __xor__ __rand__ __ror__ __rxor__ __iand__ __ior__ "
    "bitwise_and bitwise_or bitwise_xor isclose floor_divide __floordiv__ __rfloordiv__ remainder __mod__ fmod atan2 "
    "arctan2 copysign hypot logaddexp logaddexp2 xlogy fmax fmin pow pow_ __pow__ __rpow__ float_power ldexp heaviside "
    "masked_fill masked_fill_ addcmul addcmul_ addcdiv addcdiv_ lerp lerp_ clamp clamp_ clip clip_ clamp_min clamp_max "
    "where"
))  # fmt: skip
def _combined(channels: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    """Works on values at the same place; a condition counts as a value."""
    values = [*args, *(value for name, value in kwargs.items() if name not in ("out", "rounding_mode", "alpha"))]
    report_values(args, kwargs)
    if kwargs.get("out") is not None or (func is torch.where and len(args) == 1):
        return opaque(channels, func, *args, **kwargs)
    ids = [value for value in values if isinstance(value, Ids)]
    result: Tensor = ids[0]
    for other in ids[1:]:
        result = tied(channels, result, other)
    for constant in values:
        if isinstance(constant, Tensor) and not isinstance(constant, Ids) and constant.dim():
            result = channels.meet(result, constant)
    return result


def tied(channels: Any, one: Tensor, other: Tensor) -> Tensor:
    """Two activations meet; one that is broadcast along the other's channels has no channels to tie there."""
    shape = torch.broadcast_shapes(one.shape, other.shape)
    one, other = (t.reshape(*[1] * (len(shape) - t.dim()), *t.shape) for t in (one, other))
    spread, spread_other = (
        any(a.size(d) == 1 < b.size(d) and varies(b, d) for d in range(len(shape)))
        for a, b in ((one, other), (other, one))
    )
    if spread and spread_other:
        channels.fix(np.concatenate([unique(one), unique(other)]), "is combined with every other channel")
        return fixed_ids(shape, one.device)
    if spread or spread_other:
        channels.fix(unique(one if spread else other), "is combined with every other channel")
    one, other = one.expand(shape), other.expand(shape)
    if spread or spread_other:
        return wrapped(other if spread else one)
    same = [d for d in range(len(shape)) if shape[d] > 1 and one.stride(d) == other.stride(d) == 0]
    small, small_other = one, other
    for d in same:
        small, small_other = small.narrow(d, 0, 1), small_other.narrow(d, 0, 1)
    if not torch.equal(small, small_other):
        channels.tie(small.flatten().cpu().numpy(), small_other.flatten().cpu().numpy())
    return wrapped(torch.where(small != 0, small, small_other).expand(shape))


@rule(*named("softmax log_softmax softmin cumsum cumprod logcumsumexp normalize"))
def _along(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Mixes values along one dimension and keeps the shape."""
    dim = kwargs.get("dim", next((a for a in args if isinstance(a, int)), None))
    if func is F.normalize:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 1)
    if dim is None or kwargs.get("out") is not None:
        return opaque(channels, func, input, *args, **kwargs)
    if channels.mixes_within(input, [dim]):
        channels.joined(input, [dim])
    elif varies(input, dim):
        return opaque(channels, func, input, *args, **kwargs)
    return input


@rule(*named("sort argsort cummax cummin topk kthvalue"))
def _ranked(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Ranks values along one dimension, and may return their positions along it."""
    numbers = [a for a in args if isinstance(a, int) and not isinstance(a, bool)]
    with_k = func.__name__ in ("topk", "kthvalue") and "k" not in kwargs
    dim = kwargs.get("dim", (numbers[1:] if with_k else numbers)[:1] or -1)
    dim = (dim[0] if isinstance(dim, list) else dim) % max(1, input.dim())
    if input.dim() == 0 or varies(input, dim) or kwargs.get("out") is not None:
        return opaque(channels, func, input, *args, **kwargs)
    probe = func(torch.zeros(input.shape, device="meta", dtype=claimed(input)), *args, **kwargs)
    row = input.as_subclass(Tensor).narrow(dim, 0, 1)
    return tree_map(
        lambda out: claim((row if out.dim() == row.dim() else row.squeeze(dim)).expand(out.shape), out.dtype), probe
    )


@rule(torch.gather, Tensor.gather, torch.take_along_dim, Tensor.take_along_dim)
def _gathered(channels: Any, func: Any, input: Any, dim: Any = None, index: Any = None, **kwargs: Any) -> Any:
    """Values at other positions of the same channel."""
    if isinstance(dim, Tensor):
        dim, index = index, dim
    if not isinstance(input, Ids) or dim is None or index.dim() != input.dim() or varies(input, dim) or kwargs:
        return opaque(channels, func, input, dim, index, **kwargs)
    dim %= input.dim()
    if isinstance(index, Ids) and varies(index, dim):
        return opaque(channels, func, input, dim, index)
    values = input.as_subclass(Tensor).narrow(dim, 0, 1)
    for d in range(input.dim()):
        values = values.narrow(d, 0, min(values.size(d), index.size(d)))
    values = wrapped(values.expand(index.shape))
    return claim(tied(channels, values, index) if isinstance(index, Ids) else values, claimed(input))


@rule(*named("mean sum amax amin max min var std var_mean std_mean prod norm any all logsumexp argmax argmin median "
             "nanmedian mode nanmean nansum count_nonzero aminmax"), torch.linalg.vector_norm)  # fmt: skip
def _reduced(channels: Any, func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """A reduction along some dimensions; channels along these become fixed."""
    if args and isinstance(args[0], Tensor):
        return _combined(channels, func, input, *args, **kwargs)
    if kwargs.get("out") is not None:
        return opaque(channels, func, input, *args, **kwargs)
    dims = kwargs.get(
        "dim", kwargs.get("axis", args[0] if args and not isinstance(args[0], bool | float | str) else None)
    )
    if func in (Tensor.norm, torch.norm, torch.linalg.vector_norm):
        dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dims = range(input.dim()) if dims is None else [dims] if isinstance(dims, int) else list(dims)
    dims = [d % input.dim() for d in dims]
    probe = func(torch.zeros(input.shape, device="meta", dtype=claimed(input)), *args, **kwargs)
    if channels.mixes_within(input, dims):
        input = channels.joined(input, dims).expand(input.shape)
    if any(varies(input, d) for d in dims):
        channels.fix(unique(input), f"is summed up by {getattr(func, '__name__', func)}")
        return tree_map(lambda out: fixed_ids(out.shape, input.device, out.dtype), probe)
    small = input.as_subclass(Tensor)
    for d in dims:
        small = small.narrow(d, 0, 1)
    left = [size for d, size in enumerate(small.shape) if d not in dims]
    small = small.reshape(left) if not all(d in dims for d in range(input.dim())) else small.reshape(())
    return tree_map(lambda out: claim(small.reshape(out.shape), out.dtype), probe)


@rule(torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm)
def _matmul(channels: Any, func: Any, input: Any, other: Any) -> Tensor:
    """A factor without channels that only mixes positions keeps the channels; otherwise all become fixed."""
    if isinstance(other, Tensor) and not isinstance(other, Ids) and other.dim() == 2:
        return computed_product(channels, func, input, other)
    if isinstance(input, Ids) and isinstance(other, Ids) and min(input.dim(), other.dim()) >= 2:
        shape = torch.matmul(torch.empty(input.shape, device="meta"), torch.empty(other.shape, device="meta")).shape
        if not compressed(input).any() and not varies(other, -2):
            return wrapped(other.narrow(-2, 0, 1).expand(shape))
        if not compressed(other).any() and not varies(input, -1):
            return wrapped(input.narrow(-1, 0, 1).expand(shape))
    return opaque(channels, func, input, other)


@rule(F.scaled_dot_product_attention)
def _attention(
    channels: Any, func: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any
) -> Tensor:
    if not all(isinstance(t, Ids) for t in (query, key, value)) or varies(value, -2):
        return opaque(channels, func, query, key, value, *args, **kwargs)
    channels.fix(np.concatenate([unique(query), unique(key)]), "is a query or key of attention")
    return wrapped(value.narrow(-2, 0, 1).expand(*query.shape[:-1], value.size(-1)))
