"""A network's inputs: a tensor, a tuple of positional arguments, or a dictionary of keyword arguments."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from nisp.errors import UserError

Inputs = Tensor | tuple[Any, ...] | dict[str, Any]
"""What a network is called with: ``model(x)``, ``model(*x)`` or ``model(**x)``.

Arguments may hold further tuples, lists and dictionaries, and values that are no tensors. The first dimension of the
first tensor numbers the images; tensors whose first dimension has the same size are split with it, others are common
to all images.
"""


def called(model: nn.Module, inputs: Inputs) -> Any:
    """The outputs of ``model``, which may write into the inputs."""
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def checked_inputs(inputs: Any, what: str = "the example") -> Inputs:
    """The same inputs; UserError unless they are what a network can be called with."""
    if not isinstance(inputs, Tensor | tuple | dict):
        raise UserError(
            f"{what} is of class {type(inputs).__name__}: give a tensor, a tuple of tensors for several arguments, or "
            "a dictionary of named ones (of a detector that takes a list of images, prune the backbone)"
        )
    found = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
    if not found:
        raise UserError(f"{what} holds no tensor")
    if found[0].dim() == 0 or len(found[0]) == 0:
        raise UserError(f"{what} holds no image: its first tensor has shape {tuple(found[0].shape)}")
    return inputs


def count(inputs: Inputs) -> int:
    """Number of images."""
    return len(next(leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)))


def each_tensor(inputs: Inputs, change: Callable[[Tensor], Any]) -> Any:
    """The same inputs with every tensor changed."""
    return tree_map(lambda leaf: change(leaf) if isinstance(leaf, Tensor) else leaf, inputs)


def part(inputs: Inputs, start: int, stop: int) -> Inputs:
    """Images from ``start`` up to ``stop``."""
    size = count(inputs)
    return each_tensor(inputs, lambda t: t[start:stop] if t.dim() and len(t) == size else t)  # type: ignore[no-any-return]


def copied_inputs(inputs: Inputs) -> Inputs:
    """Inputs that a network may write into."""
    return each_tensor(inputs, lambda t: t.detach().clone())  # type: ignore[no-any-return]


def in_precision(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    """The same inputs with floating-point tensors in another precision."""
    return each_tensor(inputs, lambda t: t.to(dtype) if t.is_floating_point() else t)  # type: ignore[no-any-return]


def precision_of(model: nn.Module, default: torch.dtype = torch.float32) -> torch.dtype:
    """Precision of a network's first floating-point parameter."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), default)
