"""Tensors of channel ids, kept small: ids that are equal along a dimension are stored once, with stride 0."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Ids(torch.Tensor):
    """Stands for an activation of the same shape; entries are channel ids; operations apply the channel rules."""

    _claimed: torch.dtype

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Pass the operation on to the running pass."""
        with torch._C.DisableTorchFunctionSubclass(), torch._C._DisableTorchDispatch():
            return _RUNNING[-1].apply(func, args, kwargs or {})


class Follows(Protocol):
    """A pass on channel ids.

    constants  open while the pass runs, for operations on tensors that are no ids
    dtype      type of activations that do not claim another
    """

    dtype: torch.dtype

    @property
    def constants(self) -> AbstractContextManager[Any, Any]:
        """Opened around the pass."""

    def apply(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of an operation."""


_RUNNING: list[Follows] = []


@contextlib.contextmanager
def following(channel_pass: Follows) -> Iterator[None]:
    """While open, operations on ids go to ``channel_pass``."""
    _RUNNING.append(channel_pass)
    try:
        with channel_pass.constants:
            yield
    finally:
        _RUNNING.pop()


def wrapped(ids: Any) -> Any:
    """A tensor as `Ids`; anything else unchanged."""
    return ids.as_subclass(Ids) if isinstance(ids, Tensor) and not isinstance(ids, Ids) else ids


def fixed_ids(shape: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """An activation in which no channel can be removed; ``dtype``, if given, is the type that it claims to have."""
    ids = wrapped(torch.zeros((), dtype=torch.int64, device=device).expand(shape))
    return ids if dtype is None else claim(ids, dtype)


def claimed(ids: Tensor) -> torch.dtype:
    """The type that the network sees: that of the activation for which the ids stand."""
    return getattr(ids, "_claimed", None) or _RUNNING[-1].dtype


def claims(ids: Tensor) -> bool:
    """Whether these ids were given a type."""
    return hasattr(ids, "_claimed")


def claim(ids: Tensor, dtype: torch.dtype) -> Ids:
    """The same ids, standing for an activation of type ``dtype``."""
    with torch._C.DisableTorchFunctionSubclass():
        new = ids.as_subclass(Tensor).as_subclass(Ids)
    new._claimed = dtype
    return new


def compressed(ids: Tensor) -> Tensor:
    """The same ids, with every dimension of stride 0 cut to length 1."""
    for dim in range(ids.dim()):
        if ids.stride(dim) == 0 and ids.size(dim) > 1:
            ids = ids.narrow(dim, 0, 1)
    return ids


def unique(ids: Tensor) -> np.ndarray:
    """The distinct ids."""
    return compressed(ids).unique().cpu().numpy()


def varies(ids: Tensor, dim: int) -> bool:
    """Whether ids differ along ``dim``."""
    if ids.size(dim) == 1 or ids.stride(dim) == 0:
        return False
    small = compressed(ids)
    return bool((small != small.narrow(dim, 0, 1)).any())
