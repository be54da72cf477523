"""Operations in which activations meet: sums, products, attention, and sums along a dimension."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from nisp.pruning.channels.ids import Ids, compressed, fixed_ids, unique, varies, wrapped
from nisp.pruning.channels.table import named, opaque, rule


@rule(*named(
    "add add_ sub sub_ subtract mul mul_ multiply div div_ divide true_divide maximum minimum rsub __add__ __radd__ "
    "__iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__ __rtruediv__ __itruediv__ __div__"
))  # fmt: skip
def _combined(channels: Any, func: Any, input: Any, other: Any, **kwargs: Any) -> Any:
    if isinstance(input, Ids) and isinstance(other, Ids):
        return _tied(channels, input, other)
    ids, rest = (input, other) if isinstance(input, Ids) else (other, input)
    return channels.meet(ids, rest) if isinstance(rest, Tensor) and rest.dim() else ids


def _tied(channels: Any, one: Tensor, other: Tensor) -> Tensor:
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


@rule(torch.where, Tensor.where)
def _where(channels: Any, func: Any, *args: Any) -> Any:
    if len(args) != 3 or not all(isinstance(value, Ids) for value in args[1:]) or isinstance(args[0], Ids):
        return opaque(channels, func, *args)
    return _tied(channels, args[1], args[2])


@rule(*named("softmax log_softmax cumsum normalize logsumexp"))
def _along(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Mixes values along one dimension and keeps the shape."""
    dim = kwargs.get("dim", next((a for a in args if isinstance(a, int)), None))
    if func is F.normalize:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 1)
    if dim is None or func in (torch.logsumexp, Tensor.logsumexp):
        return opaque(channels, func, input, *args, **kwargs)
    if channels.mixes_within(input, [dim]):
        channels.joined(input, [dim])
    elif varies(input, dim):
        return opaque(channels, func, input, *args, **kwargs)
    return input


@rule(*named("mean sum amax amin max min var std var_mean std_mean prod norm any all"))
def _reduced(channels: Any, func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """A reduction along some dimensions; channels along these become fixed."""
    if args and isinstance(args[0], Tensor):
        return _combined(channels, func, input, *args, **kwargs)
    dims = kwargs.get("dim", kwargs.get("axis", args[0] if args and not isinstance(args[0], float | str) else None))
    if func in (Tensor.norm, torch.norm):
        dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dims = range(input.dim()) if dims is None else [dims] if isinstance(dims, int) else list(dims)
    dims = [d % input.dim() for d in dims]
    probe = func(torch.zeros(input.shape, device="meta"), *args, **kwargs)
    if channels.mixes_within(input, dims):
        input = channels.joined(input, dims).expand(input.shape)
    if any(varies(input, d) for d in dims):
        channels.fix(unique(input), f"is summed up by {getattr(func, '__name__', func)}")
        return tree_map(lambda out: fixed_ids(out.shape, input.device), probe)
    small = input.as_subclass(Tensor)
    for d in dims:
        small = small.narrow(d, 0, 1)
    left = [size for d, size in enumerate(small.shape) if d not in dims]
    small = small.reshape(left) if not all(d in dims for d in range(input.dim())) else small.reshape(())
    return tree_map(lambda out: wrapped(small.reshape(out.shape)), probe)


@rule(torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm)
def _matmul(channels: Any, func: Any, input: Any, other: Any) -> Tensor:
    """A factor without channels that only mixes positions keeps the channels; otherwise all become fixed."""
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
