"""The table of channel rules: what each torch operation does to channel ids, and what happens without a rule."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from nisp.pruning.channels.ids import Ids, claimed, fixed_ids, unique

Rule = Callable[..., Any]
"""``rule(channels, function, *args, **kwargs)``: the pass, the operation and its arguments; `Ids` are activations."""

CHANNEL_RULES: dict[Any, Rule] = {}
SHAPED: set[Rule] = set()
"""Rules of operations that may rely on a number of channels."""


def rule(*functions: Any, shaped: bool = False) -> Callable[[Rule], Rule]:
    """Register the decorated rule for each of ``functions``; ``shaped`` ones may rely on a number of channels."""

    def register(body: Rule) -> Rule:
        CHANNEL_RULES.update(dict.fromkeys(functions, body))
        if shaped:
            SHAPED.add(body)
        return body

    return register


def named(names: str) -> list[Any]:
    """All functions with these names in torch, Tensor and torch.nn.functional."""
    owners = (torch, Tensor, F)
    return [getattr(owner, name) for name in names.split() for owner in owners if hasattr(owner, name)]


def opaque(channels: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    """No rule: all channels of the inputs become fixed; the operation itself gives the shapes of its outputs."""
    inputs = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Ids)]
    for ids in inputs:
        channels.fix(unique(ids), f"is read by {getattr(func, '__name__', func)}")

    def shape_only(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        dtype = claimed(value) if isinstance(value, Ids) else value.dtype
        return torch.empty(value.shape, device="meta", dtype=dtype)

    def zeros(value: Any) -> Any:
        if not isinstance(value, Ids):
            return value
        dtype = claimed(value)  # a mask chooses everything, so that what it chooses has values
        return torch.full(value.shape, dtype == torch.bool, dtype=dtype, device=value.device)

    try:
        outputs = func(*tree_map(shape_only, args), **tree_map(shape_only, kwargs))
    except (NotImplementedError, RuntimeError):  # shapes that depend on values
        outputs = func(*tree_map(zeros, args), **tree_map(zeros, kwargs))
    device = inputs[0].device
    return tree_map(lambda out: fixed_ids(out.shape, device, out.dtype) if isinstance(out, Tensor) else out, outputs)
