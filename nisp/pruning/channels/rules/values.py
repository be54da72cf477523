"""Operations on single values, and queries about an activation (shape, dtype)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten

from nisp.pruning.channels.counts import report_values
from nisp.pruning.channels.ids import Ids, claim, claimed, unique, varies
from nisp.pruning.channels.rules.norms import normalised_by_channel
from nisp.pruning.channels.table import named, opaque, rule


@rule(*named(
    "dim stride is_contiguous is_sparse ndimension __hash__ __repr__ get_device is_same_size __format__ storage_offset"
))  # fmt: skip
def _plain(channels: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    return func(*args, **kwargs)


@rule(Tensor.shape.__get__, Tensor.size)  # type: ignore[attr-defined]
def _shape(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """A number of channels remembers which channels it counts."""
    shape = [channels.counted(input, size) if varies(input, d) else size for d, size in enumerate(input.shape)]
    dim = kwargs.get("dim", args[0] if args else None)
    return torch.Size(shape) if dim is None else shape[dim]


@rule(*named("numel nelement"))
def _number(channels: Any, func: Any, input: Tensor) -> int:
    """The number of values, so of channels too."""
    size = input.numel()
    return channels.counted(input, size) if any(varies(input, d) for d in range(input.dim())) else size  # type: ignore[no-any-return]


@rule(Tensor.__len__)
def _length(channels: Any, func: Any, input: Tensor) -> int:
    """Python accepts plain integers only, so a number of channels cannot be followed, and they must stay."""
    if varies(input, 0):
        channels.used(unique(input))
    return len(input.as_subclass(Tensor))


@rule(Tensor.dtype.__get__)  # type: ignore[attr-defined]
def _dtype(channels: Any, func: Any, input: Tensor) -> torch.dtype:
    return claimed(input)


@rule(Tensor.element_size)
def _element_size(channels: Any, func: Any, input: Tensor) -> int:
    return claimed(input).itemsize


@rule(*named("is_floating_point is_complex"))
def _is_of_kind(channels: Any, func: Any, input: Tensor) -> bool:
    dtype = claimed(input)
    return dtype.is_complex if func.__name__ == "is_complex" else dtype.is_floating_point


@rule(*named("zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty "
             "new_tensor"))  # fmt: skip
def _constant(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return func(torch.zeros(input.shape, device=input.device, dtype=claimed(input)), *args, **kwargs)


@rule(*named(
    "relu relu_ relu6 leaky_relu leaky_relu_ elu elu_ celu celu_ selu selu_ gelu silu hardswish hardsigmoid sigmoid "
    "sigmoid_ tanh tanh_ hardtanh hardtanh_ softplus softsign mish logsigmoid dropout dropout1d dropout2d dropout3d "
    "alpha_dropout feature_alpha_dropout abs abs_ absolute neg neg_ negative exp exp_ exp2 expm1 log log_ log2 log10 "
    "log1p sqrt sqrt_ rsqrt rsqrt_ square square_ reciprocal reciprocal_ contiguous clone detach detach_ to float half "
    "double bfloat16 bool int long short char byte type_as cpu cuda requires_grad_ local_response_norm nan_to_num "
    "nan_to_num_ round round_ floor floor_ ceil ceil_ trunc trunc_ fix frac sign sgn signbit erf erfc erfinv "
    "hardshrink softshrink threshold threshold_ tanhshrink sin sin_ cos cos_ tan asin acos atan arcsin arccos arctan "
    "sinh cosh asinh acosh atanh logit lgamma digamma i0 sinc deg2rad rad2deg rrelu dropout_ feature_dropout "
    "logical_not bitwise_not isnan isinf isfinite isposinf isneginf __neg__ __pos__ __abs__ __invert__ positive "
    "__copy__ __deepcopy__ fill_ zero_"
), torch.special.expit, torch.special.erf, torch.special.logit)  # fmt: skip
def _alike(channels: Any, func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Works on single values; local response norm also reads neighbouring channels, so there removal is not exact."""
    if func in (Tensor.to, Tensor.type_as):  # the other tensor only gives a type
        return input if isinstance(input, Ids) else opaque(channels, func, input, *args, **kwargs)
    report_values(args, kwargs)
    if any(isinstance(leaf, Tensor) and leaf.dim() for leaf in tree_flatten((args, kwargs))[0]):
        return opaque(channels, func, input, *args, **kwargs)
    return input


@rule(Tensor.type)
def _type(channels: Any, func: Any, input: Tensor, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The name of the type, or the same values in another."""
    asked = torch.empty(0, dtype=claimed(input)).type(*([] if dtype is None else [dtype]))
    return asked if isinstance(asked, str) else claim(input, asked.dtype)


@rule(F.prelu, torch.prelu, Tensor.prelu)
def _prelu(channels: Any, func: Any, input: Tensor, weight: Tensor) -> Tensor:
    return input if channels.size_of(weight, 0) == 1 else normalised_by_channel(channels, func, input, weight)
