"""A network on disk without pickle: saved by its structure or by how it is built, and as graphs for other runtimes."""

from nisp.pruning.saving.network import load, save

__all__ = ["load", "save"]
