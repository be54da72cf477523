"""What goes into networks and comes out of them: tensors, tuples, lists or dictionaries."""

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map


def first(inputs: Any) -> Any:
    """The first image, of every input."""
    return tree_map(lambda tensor: tensor[:1], inputs)


def tensors(outputs: Any) -> list[Tensor]:
    """All tensors among outputs, in order."""
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]


def shapes(outputs: Any) -> list[tuple[int, ...]]:
    """Their shapes."""
    return [tuple(tensor.shape) for tensor in tensors(outputs)]


def finite(outputs: Any) -> bool:
    """Whether all numbers are finite."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors(outputs))
