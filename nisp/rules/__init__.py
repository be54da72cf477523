"""The table of rules, by kind. Importing this package fills `nisp.table.RULES`."""

from nisp.rules import (
    activations,
    attention,
    constants,
    curves,
    dispatched,
    norms,
    pools,
    products,
    sampling,
    shapes,
    softmax,
    weights,
)

__all__ = [
    "activations", "attention", "constants", "curves", "dispatched", "norms", "pools", "products", "sampling", "shapes",
    "softmax", "weights",
]  # fmt: skip
