"""Operations that write into one of their arguments."""

from typing import Any

import torch
from torch import Tensor, nn

SOLE = 2
"""Users of the memory of a tensor that nothing else views: the tensor, and the handle that asks."""


def target_of(func: Any, args: Any) -> Tensor | None:
    """The tensor that a function writes into, by the naming of PyTorch's functions; None if it writes into none."""
    name = getattr(func, "__name__", "")
    augmented = name.startswith("__i") and name not in ("__iter__", "__invert__", "__index__", "__int__")
    if name == "__setitem__" or augmented or (name.endswith("_") and not name.endswith("__")):
        return args[0] if args and isinstance(args[0], Tensor) else None
    return None


def is_own(tensor: Tensor) -> bool:
    """Whether a tensor is no parameter, and shares its memory with no other one."""
    if isinstance(tensor, nn.Parameter) or tensor._is_view():
        return False
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) == SOLE  # type: ignore[no-any-return]
