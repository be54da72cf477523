"""The table of rules, by kind. Importing this package fills `nisp.absolute.RULES`."""

from nisp.rules import activations, attention, norms, pools, products, shapes, weights

__all__ = ["activations", "attention", "norms", "pools", "products", "shapes", "weights"]
