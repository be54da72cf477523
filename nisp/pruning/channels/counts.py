"""Numbers of channels that a network reads off a shape, and where they enter its arithmetic.

As a size (of a view, a split, an expand) such a number shrinks with the channels and nothing else changes. As a value
(``x / x.shape[1] ** 0.5``) it changes the numbers of all channels that stay, so the channels that it counts must stay.
A comparison (``if x.shape[1] > 64``) may choose another way through the network, so its outcome must stay.
"""

from __future__ import annotations

import operator
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils._pytree import tree_leaves


class Reporter(Protocol):
    """Hears of numbers of channels; ``ids`` are the channels that they count."""

    def used(self, ids: np.ndarray) -> None:
        """A number was used as a value."""

    def compared(self, ids: np.ndarray, outcome: bool) -> None:
        """A number was compared, with this outcome."""


class Count(int):
    """A number of channels; what is computed from it with integers is one, too."""

    ids: np.ndarray
    reporter: Reporter
    __hash__ = int.__hash__

    def __float__(self) -> float:
        self.reporter.used(self.ids)
        return float(int(self))

    def __truediv__(self, other: Any) -> Any:
        return _with(self, operator.truediv(int(self), other))

    def __rtruediv__(self, other: Any) -> Any:
        return _with(self, operator.truediv(other, int(self)))

    def __pow__(self, other: Any, *modulus: Any) -> Any:
        return _with(self, pow(int(self), other, *modulus))

    def __reduce__(self) -> Any:
        return int, (int(self),)


class Ratio(float):
    """A value computed from a number of channels; an integer again once it is turned into one, say for a size."""

    ids: np.ndarray
    reporter: Reporter
    __hash__ = float.__hash__

    def __reduce__(self) -> Any:
        return float, (float.__float__(self),)


def _with(source: Any, value: Any, other: Any = None) -> Any:
    """``value`` as a number that comes from the same channels."""
    kind = Count if type(value) is int else Ratio if type(value) is float else None
    if kind is None:
        return value
    number = kind(value)
    ids = [each.ids for each in (source, other) if isinstance(each, Count | Ratio)]
    number.ids, number.reporter = np.unique(np.concatenate(ids)), source.reporter
    return number


def _followed(kind: type, base: type, name: str) -> None:
    plain = getattr(base, name)

    def method(self: Any, *others: Any) -> Any:
        value = plain(self, *others)
        return _with(self, value, *others[:1])

    setattr(kind, name, method)


def _compared(kind: type, base: type, name: str) -> None:
    plain = getattr(base, name)

    def method(self: Any, *other: Any) -> Any:
        outcome = plain(self, *other)
        if outcome is not NotImplemented:
            self.reporter.compared(self.ids, outcome)
        return outcome

    setattr(kind, name, method)


_ARITHMETIC = ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "rfloordiv", "neg")

for _name in (*_ARITHMETIC, "mod", "rmod"):
    _followed(Count, int, f"__{_name}__")
for _name in (*_ARITHMETIC, "truediv", "rtruediv", "pow", "rpow"):
    _followed(Ratio, float, f"__{_name}__")
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "bool"):
    _compared(Count, int, f"__{_name}__")
    _compared(Ratio, float, f"__{_name}__")


def counted(size: int, ids: np.ndarray, reporter: Reporter) -> Count:
    """``size`` as the number of the channels ``ids``."""
    number = Count(size)
    number.ids, number.reporter = ids, reporter
    return number


def report_values(*values: Any) -> None:
    """Report the numbers of channels among an operation's arguments, which are used as values there."""
    for leaf in tree_leaves(values):
        if isinstance(leaf, Count | Ratio):
            leaf.reporter.used(leaf.ids)


VALUED = {torch.tensor, torch.as_tensor, torch.scalar_tensor, torch.arange, torch.linspace, torch.logspace}
"""Functions that make tensors whose values are, or depend on, the numbers that they are given."""
