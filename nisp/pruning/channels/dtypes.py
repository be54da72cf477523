"""Types that activations claim to have: ids are integers, but the network must see what it would see of the numbers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from nisp.pruning.channels.ids import Ids, claim, claimed, claims
from nisp.pruning.channels.table import named

_TRUTH = set(named(
    "eq ne lt le gt ge equal not_equal less less_equal greater greater_equal isnan isinf isfinite isposinf isneginf "
    "isclose logical_and logical_or logical_xor logical_not __eq__ __ne__ __lt__ __le__ __gt__ __ge__ signbit any all "
    "isin"
))  # fmt: skip
"""Operations that answer with truth values."""

_CASTS = {
    getattr(Tensor, name): dtype
    for name, dtype in {
        "float": torch.float32, "double": torch.float64, "half": torch.float16, "bfloat16": torch.bfloat16,
        "bool": torch.bool, "int": torch.int32, "long": torch.int64, "short": torch.int16, "char": torch.int8,
        "byte": torch.uint8,
    }.items()
}  # fmt: skip

_LOWERED = set(named(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul __matmul__ bmm mm addmm "
    "baddbmm einsum scaled_dot_product_attention prelu"
))  # fmt: skip
"""Operations that autocast runs in lower precision."""

_RAISED = set(named("softmax log_softmax layer_norm group_norm exp log pow rsqrt sum norm cumsum cosine_similarity"))
"""Operations that autocast runs in float32."""

_QUOTIENTS = set(named(
    "div div_ divide true_divide __truediv__ __rtruediv__ mean sigmoid tanh sqrt rsqrt exp log softmax reciprocal"
))  # fmt: skip
"""Operations that turn integers into floating-point numbers."""


_MAGNITUDES = set(named("abs absolute __abs__ angle"))
"""Operations that make a complex number a real one."""


def with_type(func: Callable[..., Any], args: Any, kwargs: dict[str, Any], result: Any) -> Any:
    """The ids of ``result``, claiming the type that ``func`` gives; a type that its rule has given stays."""
    given = {id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Ids)}
    new = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Ids) and (id(leaf) in given or not claims(leaf))]
    if not new:
        return result
    dtype = _type_of(func, args, kwargs)

    def typed(leaf: Any) -> Any:
        if not any(leaf is each for each in new) or claimed(leaf) == dtype:
            return leaf
        return claim(leaf, dtype)

    return tree_map(typed, result)


def _type_of(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> torch.dtype:
    leaves = tree_leaves((args, kwargs))
    if func in _TRUTH:
        return torch.bool
    if func in _CASTS:
        return _CASTS[func]
    if func in (Tensor.to, Tensor.type, Tensor.type_as):
        return _target(leaves)
    dtype = _promoted(leaves)
    if func in (torch.float_power, Tensor.float_power):
        return torch.float64
    if func in _MAGNITUDES and dtype.is_complex:
        return dtype.to_real()
    device = next(leaf.device.type for leaf in leaves if isinstance(leaf, Ids))
    if torch.is_autocast_enabled(device) and dtype.is_floating_point:
        if func in _LOWERED:
            return torch.get_autocast_dtype(device)
        if func in _RAISED:
            return torch.float32
    asked = kwargs.get("dtype")
    if isinstance(asked, torch.dtype):
        return asked
    if func in _QUOTIENTS and not dtype.is_floating_point and not dtype.is_complex:
        return torch.get_default_dtype()
    return dtype


def _target(leaves: list[Any]) -> torch.dtype:
    """What a cast asks for, the last type or tensor among its arguments; its own type if it asks for a device."""
    own = _seen(leaves[0])
    for leaf in leaves[:0:-1]:
        if isinstance(leaf, torch.dtype):
            return leaf
        if isinstance(leaf, Tensor):
            return _seen(leaf)
    return own


def _promoted(leaves: list[Any]) -> torch.dtype:
    """The common type of tensors; numbers count where tensors are of a lower kind."""
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    sized = [leaf for leaf in tensors if leaf.dim()] or tensors
    dtype = _seen(sized[0])
    for leaf in sized[1:]:
        dtype = torch.promote_types(dtype, _seen(leaf))
    if any(isinstance(leaf, float) for leaf in leaves) and not (dtype.is_floating_point or dtype.is_complex):
        return torch.get_default_dtype()
    if dtype == torch.bool and any(type(leaf) is int for leaf in leaves) and len(tensors) == 1:
        return dtype
    return dtype


def _seen(tensor: Tensor) -> torch.dtype:
    return claimed(tensor) if isinstance(tensor, Ids) else tensor.dtype
