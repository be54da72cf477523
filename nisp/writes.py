"""Operations that write into one of their arguments.

A write is visible in every tensor that shares the memory; but responses have a path of their own each, in the absolute
network, and paths do not share memory. So a response whose memory was written into by way of another one is *outdated*:
it may not be read again.
"""

import weakref
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nisp.errors import UserError

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


class Shared(Protocol):
    """A response.

    sharing   all responses that share its memory, itself among them
    outdated  the operation that wrote into its memory, and the response that has the written path
    """

    sharing: "list[weakref.ref[Any]]"
    outdated: "tuple[str, Any] | None"


def outdate_others(func: Any, written: Shared) -> None:
    """Of the responses that share the memory that ``func`` wrote into, only ``written`` may be read from now on."""
    for reference in written.sharing:
        other = reference()
        if other is not None and other is not written:
            other.outdated = (func.__name__, written)


def refuse_outdated(response: Shared) -> None:
    """UserError if ``response`` is outdated."""
    if response.outdated is not None:
        raise UserError(f"NISP has no rule for {response.outdated[0]} on part of a response that is still in use")


def puts_back(func: Any, args: Any) -> bool:
    """Whether a part that was written into is assigned to its own place, as the last step of ``x[index] += y`` does.

    Then ``x`` has the part's path, and is no longer outdated.
    """
    if func is not Tensor.__setitem__ or getattr(args[0], "outdated", None) is None:
        return False
    target, index, value = args
    if target.outdated[1] is not value or value.outdated is not None:
        return False
    part = target.as_subclass(Tensor)[index]
    if (part.data_ptr(), part.shape, part.stride()) != (value.data_ptr(), value.shape, value.stride()):
        return False
    target.outdated = None
    return True
