"""The tables of the absolute network: for each torch function, its rule or what else is to be done with it.

`nisp.rules` fills them. A function that stands in none is refused.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from nisp.pruning.dispatch import TO_PYTHON

Adjoint = Callable[..., Sequence[Tensor | None]]
"""Scores of a function's outputs -> scores of the responses among its arguments, in order."""

Rule = Callable[..., Adjoint | None]
"""Takes a function's arguments before the function runs; must copy any values that it keeps.

None says that the result does not depend on the responses, or in steps only: of them, only the shape or type is used.
"""

RULES: dict[Any, Rule] = {}
COMPOSED: dict[Any, Callable[..., Any]] = {}
"""Function -> an equivalent built from functions that have rules."""

GAINS: dict[Any, Callable[..., float]] = {}
"""Function -> estimate, from its arguments, of how much it multiplies scores; 1 for all others (`nisp.signals`)."""

WEIGHED: set[Any] = set()
"""The convolution and linear functions, whose second argument is a weight."""

CONSTANTS: set[Any] = set()
"""Functions whose results do not depend on the values of the input: shapes, new tensors."""

COMPARISONS: set[Any] = set()
"""Functions whose results depend on the values in steps only: masks, indices of maxima."""

REFUSED: dict[Any, str] = {}
"""Functions that can have no rule -> why; one that stands in no table is refused without a reason."""

NORMS: set[Any] = set()
"""The batch norms, which run before any rule of theirs: first argument, the tensor that they normalise."""

PRODUCTS: set[Any] = set()
"""The matrix products, which are layers where one factor is a parameter."""

BRANCHES = TO_PYTHON | {Tensor.__format__}
"""Functions that hand values to Python, where the network may branch on them."""


def rule(*functions: Any) -> Callable[[Rule], Rule]:
    """Register the decorated rule for each of ``functions``; it takes the same arguments."""

    def register(body: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, body))
        return body

    return register


def composed(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function to run in place of each of ``functions``."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        COMPOSED.update(dict.fromkeys(functions, body))
        return body

    return register


class _Known:
    """All functions that a table holds."""

    def __contains__(self, func: Any) -> bool:
        return any(func in table for table in (RULES, COMPOSED, CONSTANTS, COMPARISONS, BRANCHES, REFUSED))


KNOWN = _Known()
"""Whether a function stands in any table."""
