"""Operations on single values, and queries about an activation (shape, dtype)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten

from nisp.pruning.channels.rules.norms import normalised_by_channel
from nisp.pruning.channels.table import named, opaque, rule


@rule(*named(
    "size dim numel stride is_contiguous is_complex is_sparse ndimension element_size __len__ __hash__ __repr__ "
    "get_device nelement"
))  # fmt: skip
def _plain(channels: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    return func(*args, **kwargs)


@rule(Tensor.dtype.__get__)  # type: ignore[attr-defined]
def _dtype(channels: Any, func: Any, input: Tensor) -> torch.dtype:
    return torch.get_default_dtype()


@rule(*named("is_floating_point"))
def _is_floating_point(channels: Any, func: Any, input: Tensor) -> bool:
    return True


@rule(*named("zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty "
             "new_tensor"))  # fmt: skip
def _constant(channels: Any, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return func(torch.zeros(input.shape, device=input.device), *args, **kwargs)


@rule(*named(
    "relu relu_ relu6 leaky_relu leaky_relu_ elu elu_ celu celu_ selu selu_ gelu silu hardswish hardsigmoid sigmoid "
    "sigmoid_ tanh tanh_ hardtanh hardtanh_ softplus softsign mish logsigmoid dropout dropout1d dropout2d dropout3d "
    "alpha_dropout feature_alpha_dropout clamp clamp_ clamp_min clamp_max clip abs neg exp log sqrt rsqrt square "
    "reciprocal pow contiguous clone detach to float half double bfloat16 type_as cpu cuda type requires_grad_ "
    "local_response_norm nan_to_num round floor ceil sign erf log1p hardshrink softshrink threshold tanhshrink "
    "__neg__ __pow__ __abs__ positive"
))  # fmt: skip
def _alike(channels: Any, func: Any, input: Any, *args: Any, **kwargs: Any) -> Any:
    """Works on single values; local response norm also reads neighbouring channels, so there removal is not exact."""
    if any(isinstance(leaf, Tensor) and leaf.dim() for leaf in tree_flatten((args, kwargs))[0]):
        return opaque(channels, func, input, *args, **kwargs) if func is not Tensor.type_as else input
    return input


@rule(F.prelu, torch.prelu, Tensor.prelu)
def _prelu(channels: Any, func: Any, input: Tensor, weight: Tensor) -> Tensor:
    return input if weight.numel() == 1 else normalised_by_channel(channels, func, input, weight)
