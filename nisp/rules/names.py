"""The names under which torch offers one operation: ``torch.relu``, ``Tensor.relu``, ``F.relu``, ..."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PLACES: tuple[Any, ...] = (torch, Tensor, F, torch.special, torch.linalg)


def spelled(*names: str) -> tuple[Any, ...]:
    """Every function called one of ``names``, in the order of names.

    >>> torch.relu in spelled("relu"), torch.Tensor.relu in spelled("relu"), F.relu in spelled("relu")
    (True, True, True)
    """
    return tuple(dict.fromkeys(function for name in names for function in _places(name)))


def in_place(*names: str) -> tuple[Any, ...]:
    """The variants of ``names`` that write their result into their first argument: ``relu_`` for ``relu``."""
    return spelled(*(f"{name}_" for name in names))


def _places(name: str) -> list[Any]:
    found = [getattr(place, name, None) for place in ((Tensor,) if name.startswith("__") else PLACES)]
    functions = [function for function in found if callable(function)]
    if not functions and not name.startswith("__") and hasattr(torch.ops.aten, name):
        functions.append(getattr(torch.ops.aten, name))  # F.silu in place, for example, has no function of its own
    return functions
