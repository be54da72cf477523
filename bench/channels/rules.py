"""What each torch operation does to channel ids: one small rule each, in one table.

A rule is called as ``rule(trace, function, *args, **kwargs)`` with the arguments of the operation, in which `Ids` stand
for the activations. An operation that is not in the table fixes all channels that it reads (`opaque`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from bench.channels.ids import Ids, compressed, fixed_ids, unique, varies, wrapped

Rule = Callable[..., Any]
RULES: dict[Any, Rule] = {}


def rule(*functions: Any) -> Callable[[Rule], Rule]:
    """Register the decorated rule for each of ``functions``."""

    def register(body: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, body))
        return body

    return register


def named(names: str) -> list[Any]:
    """All of torch's, Tensor's and torch.nn.functional's functions of these names."""
    owners = (torch, Tensor, F)
    return [getattr(owner, name) for name in names.split() for owner in owners if hasattr(owner, name)]


def opaque(trace: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    """No rule: all channels that come in are fixed; the operation tells the shapes of what comes out."""
    inputs = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Ids)]
    for ids in inputs:
        trace.fix(unique(ids), f"is read by {getattr(func, '__name__', func)}")

    def shape_only(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return torch.empty(value.shape, device="meta", dtype=None if isinstance(value, Ids) else value.dtype)

    def zeros(value: Any) -> Any:
        return torch.zeros(value.shape, device=value.device) if isinstance(value, Ids) else value

    try:
        outputs = func(*tree_map(shape_only, args), **tree_map(shape_only, kwargs))
    except (NotImplementedError, RuntimeError):  # shapes that depend on values
        outputs = func(*tree_map(zeros, args), **tree_map(zeros, kwargs))
    device = inputs[0].device
    return tree_map(lambda out: fixed_ids(out.shape, device) if isinstance(out, Tensor) else out, outputs)


@rule(*named(
    "size dim numel stride is_contiguous is_complex is_sparse ndimension element_size __len__ __hash__ __repr__ "
    "get_device nelement"
))  # fmt: skip
def _plain(trace: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    return func(*args, **kwargs)


@rule(Tensor.dtype.__get__)  # type: ignore[attr-defined]
def _dtype(trace: Any, func: Any, input: Tensor) -> torch.dtype:
    return torch.get_default_dtype()


@rule(*named("is_floating_point"))
def _is_floating_point(trace: Any, func: Any, input: Tensor) -> bool:
    return True


@rule(*named("zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty "
             "new_tensor"))  # fmt: skip
def _constant(trace: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return func(torch.zeros(input.shape, device=input.device), *args, **kwargs)


@rule(*[getattr(Tensor, name).__get__ for name in ("T", "mT", "data")], *named(
    "view reshape flatten permute transpose squeeze unsqueeze chunk split split_with_sizes tensor_split __getitem__ "
    "roll expand expand_as repeat repeat_interleave tile flip unbind narrow select movedim moveaxis swapaxes "
    "swapdims t pixel_shuffle pixel_unshuffle unflatten ravel view_as reshape_as broadcast_to channel_shuffle "
    "index_select diagonal unfold"
))  # fmt: skip
def _moved(trace: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    return tree_map(wrapped, func(*args, **kwargs))


del RULES[F.unfold]


@rule(*named("view reshape unflatten"))
def _reshaped(trace: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Channels that are dealt out to equal parts go from every part alike."""
    if func is Tensor.view and args and not isinstance(args[0], torch.dtype):
        func = Tensor.reshape  # ids may lie in memory other than the activation
    output = wrapped(func(input, *args, **kwargs))
    for dim in range(input.dim()):
        if input.shape[:dim] != output.shape[:dim]:
            break
        if dim < output.dim() - 1 and output.size(dim) not in (1, input.size(dim)) and varies(input, dim):
            parts = output.size(dim)
            if input.size(dim) % parts == 0:
                row = trace.column(input, dim).reshape(parts, -1)
                for part in row[1:]:
                    trace.tie(row[0], part)
    return output


@rule(*named("chunk"))
def _chunk(trace: Any, func: Any, input: Tensor, chunks: int, dim: int = 0) -> Any:
    """Equal parts stay equal: channels go from every part alike."""
    parts = func(input, chunks, dim)
    if varies(input, dim) and len({part.size(dim) for part in parts}) == 1:
        rows = [trace.column(wrapped(part), dim) for part in parts]
        for row in rows[1:]:
            trace.tie(rows[0], row)
    return tree_map(wrapped, parts)


@rule(*named(
    "relu relu_ relu6 leaky_relu leaky_relu_ elu elu_ celu celu_ selu selu_ gelu silu hardswish hardsigmoid sigmoid "
    "sigmoid_ tanh tanh_ hardtanh hardtanh_ softplus softsign mish logsigmoid dropout dropout1d dropout2d dropout3d "
    "alpha_dropout feature_alpha_dropout clamp clamp_ clamp_min clamp_max clip abs neg exp log sqrt rsqrt square "
    "reciprocal pow contiguous clone detach to float half double bfloat16 type_as cpu cuda type requires_grad_ "
    "local_response_norm nan_to_num round floor ceil sign erf log1p hardshrink softshrink threshold tanhshrink "
    "__neg__ __pow__ __abs__ positive"
))  # fmt: skip
def _alike(trace: Any, func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Each value by itself; local response norm looks at neighbours too, so there removal is not exact."""
    if any(isinstance(leaf, Tensor) and leaf.dim() for leaf in tree_flatten((args, kwargs))[0]):
        return opaque(trace, func, input, *args, **kwargs) if func is not Tensor.type_as else input
    return input


@rule(*named(
    "add add_ sub sub_ subtract mul mul_ multiply div div_ divide true_divide maximum minimum rsub __add__ __radd__ "
    "__iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__ __rtruediv__ __itruediv__ __div__"
))  # fmt: skip
def _combined(trace: Any, func: Any, input: Any, other: Any, **kwargs: Any) -> Any:
    if isinstance(input, Ids) and isinstance(other, Ids):
        return _tied(trace, input, other)
    ids, rest = (input, other) if isinstance(input, Ids) else (other, input)
    return trace.meet(ids, rest) if isinstance(rest, Tensor) and rest.dim() else ids


def _tied(trace: Any, one: Tensor, other: Tensor) -> Tensor:
    """Two activations meet; one that is spread along the other's channels has no channels there to tie."""
    shape = torch.broadcast_shapes(one.shape, other.shape)
    one, other = (t.reshape(*[1] * (len(shape) - t.dim()), *t.shape) for t in (one, other))
    spread, spread_other = (
        any(a.size(d) == 1 < b.size(d) and varies(b, d) for d in range(len(shape)))
        for a, b in ((one, other), (other, one))
    )
    if spread and spread_other:
        trace.fix(np.concatenate([unique(one), unique(other)]), "is crossed with other channels")
        return fixed_ids(shape, one.device)
    one, other = one.expand(shape), other.expand(shape)
    if spread or spread_other:
        return wrapped(other if spread else one)
    same = [d for d in range(len(shape)) if shape[d] > 1 and one.stride(d) == other.stride(d) == 0]
    small, small_other = one, other
    for d in same:
        small, small_other = small.narrow(d, 0, 1), small_other.narrow(d, 0, 1)
    if not torch.equal(small, small_other):
        trace.tie(small.flatten().cpu().numpy(), small_other.flatten().cpu().numpy())
    return wrapped(torch.where(small != 0, small, small_other).expand(shape))


@rule(torch.where, Tensor.where)
def _where(trace: Any, func: Any, *args: Any) -> Any:
    if len(args) != 3 or not all(isinstance(value, Ids) for value in args[1:]) or isinstance(args[0], Ids):
        return opaque(trace, func, *args)
    return _tied(trace, args[1], args[2])


@rule(*named("cat concat concatenate"))
def _joined(trace: Any, func: Any, tensors: Sequence[Tensor], dim: int = 0, **kwargs: Any) -> Tensor:
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
def _stacked(trace: Any, func: Any, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    parts = [t if isinstance(t, Ids) else fixed_ids(t.shape, t.device) for t in tensors]
    return wrapped(torch.stack([t.as_subclass(Tensor) for t in parts], dim))


@rule(F.linear)
def _linear(trace: Any, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    name = _layer(trace, input, weight, bias, nn.Linear)
    if name is None:
        return opaque(trace, func, input, weight, bias)
    if trace.mixes_positions((name, 1), input, -1):
        return wrapped(input.narrow(-1, 0, 1).expand(*input.shape[:-1], weight.size(0)))
    trace.read((name, 1), trace.column(input, -1))
    return wrapped(_written(trace, name, weight, bias, input.device).expand(*input.shape[:-1], -1))


def _layer(trace: Any, input: Any, weight: Any, bias: Any, kind: type | tuple[type, ...]) -> str | None:
    """The weight's name, if it and the bias are parameters of a layer of that kind."""
    name = trace.name_of(weight)
    if not isinstance(input, Ids) or name is None or not isinstance(trace.owners[name], kind):
        return None
    return None if bias is not None and trace.name_of(bias) is None else name


def _written(trace: Any, name: str, weight: Tensor, bias: Tensor | None, device: torch.device) -> Tensor:
    ids = trace.write(name, weight.size(0))
    if bias is not None:
        trace.read((trace.name_of(bias), 0), ids)
    return torch.from_numpy(ids).to(device)


@rule(F.conv1d, F.conv2d, F.conv3d, torch.conv1d, torch.conv2d, torch.conv3d)
def _convolution(
    trace: Any,
    func: Any,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Parts (``groups``) lose the same channels each; a depthwise convolution writes the channels that it reads."""
    name = _layer(trace, input, weight, bias, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
    if name is None:
        return opaque(trace, func, input, weight, bias, stride, padding, dilation, groups)
    row = trace.column(input, 1)
    if groups > 1 and weight.size(1) == 1:
        ids = row.repeat(weight.size(0) // groups)
        trace.read((name, 0), ids)
        if bias is not None:
            trace.read((trace.name_of(bias), 0), ids)
        written = torch.from_numpy(ids).to(input.device)
    else:
        parts = row.reshape(groups, -1)
        for part in parts[1:]:
            trace.tie(parts[0], part)
        trace.read((name, 1), parts[0])
        written = _written(trace, name, weight, bias, input.device)
        outputs = written.cpu().numpy().reshape(groups, -1)
        for part in outputs[1:]:
            trace.tie(outputs[0], part)
    probe = func(
        torch.empty(1, 1, *input.shape[2:], device="meta"),
        torch.empty(1, 1, *weight.shape[2:], device="meta"), None, stride, padding, dilation,
    )  # fmt: skip
    return _spread(written, input, probe)


def _spread(row: Tensor, input: Tensor, probe: Tensor) -> Tensor:
    """Channels (dimension 1) at every position of a map as large as ``probe``."""
    spatial = probe.shape[2:]
    return wrapped(row.reshape(1, -1, *[1] * len(spatial)).expand(input.size(0), -1, *spatial))


@rule(*named(
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d lp_pool1d lp_pool2d interpolate "
    "upsample"
))  # fmt: skip
def _pooled(trace: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    row = torch.from_numpy(trace.column(input, 1)).to(input.device)
    probe = func(torch.zeros(1, 1, *input.shape[2:], device=input.device), *args, **kwargs)
    return tree_map(lambda out: _spread(row, input, out), probe)


@rule(*named("batch_norm instance_norm"))
def _normalised_by_channel(trace: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    row = trace.column(input, 1)
    for tensor in [*args, *kwargs.values()]:
        if isinstance(tensor, Tensor):
            name = trace.name_of(tensor)
            if name is None:
                trace.fix(row, "meets a tensor that is no parameter")
            else:
                trace.read((name, 0), row)
    return input


@rule(*named("layer_norm rms_norm"))
def _normalised_together(trace: Any, func: Any, input: Tensor, normalized_shape: Any, *args: Any, **kw: Any) -> Tensor:
    if any(varies(input, d) for d in range(-len(normalized_shape), 0)):
        trace.fix(unique(input), "is normalised together with other channels")
    return input


@rule(*named("group_norm"))
def _normalised_in_groups(trace: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    trace.fix(unique(input), "is normalised together with other channels")
    return input


@rule(*named("softmax log_softmax cumsum normalize glu logsumexp"))
def _along(trace: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Mixes values along one dimension, and keeps the shape."""
    dim = kwargs.get("dim", next((a for a in args if isinstance(a, int)), None))
    if func is F.normalize:
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 1)
    if dim is None or varies(input, dim) or func in (F.glu, torch.logsumexp, Tensor.logsumexp):
        return opaque(trace, func, input, *args, **kwargs)
    return input


@rule(*named("mean sum amax amin max min var std var_mean std_mean prod norm any all"))
def _reduced(trace: Any, func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """A sum or the like along some dimensions; channels along these are fixed."""
    if args and isinstance(args[0], Tensor):
        return _combined(trace, func, input, *args, **kwargs)
    dims = kwargs.get("dim", kwargs.get("axis", args[0] if args and not isinstance(args[0], float | str) else None))
    if func in (Tensor.norm, torch.norm):
        dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dims = range(input.dim()) if dims is None else [dims] if isinstance(dims, int) else list(dims)
    dims = [d % input.dim() for d in dims]
    probe = func(torch.zeros(input.shape, device="meta"), *args, **kwargs)
    if any(varies(input, d) for d in dims):
        trace.fix(unique(input), f"is summed up by {getattr(func, '__name__', func)}")
        return tree_map(lambda out: fixed_ids(out.shape, input.device), probe)
    small = input.as_subclass(Tensor)
    for d in dims:
        small = small.narrow(d, 0, 1)
    left = [size for d, size in enumerate(small.shape) if d not in dims]
    small = small.reshape(left) if not all(d in dims for d in range(input.dim())) else small.reshape(())
    return tree_map(lambda out: wrapped(small.reshape(out.shape)), probe)


@rule(torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm)
def _matmul(trace: Any, func: Any, input: Any, other: Any) -> Tensor:
    """Positions mixed by weights that have no channels keep the channels; anything else is fixed."""
    if isinstance(input, Ids) and isinstance(other, Ids) and min(input.dim(), other.dim()) >= 2:
        shape = torch.matmul(torch.empty(input.shape, device="meta"), torch.empty(other.shape, device="meta")).shape
        if not compressed(input).any() and not varies(other, -2):
            return wrapped(other.narrow(-2, 0, 1).expand(shape))
        if not compressed(other).any() and not varies(input, -1):
            return wrapped(input.narrow(-1, 0, 1).expand(shape))
    return opaque(trace, func, input, other)


@rule(F.scaled_dot_product_attention)
def _attention(trace: Any, func: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if not all(isinstance(t, Ids) for t in (query, key, value)) or varies(value, -2):
        return opaque(trace, func, query, key, value, *args, **kwargs)
    trace.fix(np.concatenate([unique(query), unique(key)]), "are multiplied by attention")
    return wrapped(value.narrow(-2, 0, 1).expand(*query.shape[:-1], value.size(-1)))


@rule(F.prelu, torch.prelu, Tensor.prelu)
def _prelu(trace: Any, func: Any, input: Tensor, weight: Tensor) -> Tensor:
    return input if weight.numel() == 1 else _normalised_by_channel(trace, func, input, weight)


@rule(F.pad)
def _padded(trace: Any, func: Any, input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Any:
    """Padding belongs to the channel it stands beside; new channels are fixed."""
    output = input.as_subclass(Tensor)
    for index in range(len(pad) // 2):
        before, after = pad[2 * index : 2 * index + 2]
        dim = input.dim() - 1 - index
        if (before or after) and varies(input, dim):
            if mode != "constant":
                return opaque(trace, func, input, pad, mode, value)
            output = F.pad(output, [0, 0] * index + [before, after])
        elif before or after:
            shape = list(output.shape)
            shape[dim] += before + after
            output = output.narrow(dim, 0, 1).expand(shape)
    return wrapped(output)


SHAPED = {_moved, _reshaped, _chunk, _joined}
"""Rules of operations that may count on a number of channels."""
