"""Networks on disk without pickle: by structure, by the function that builds them, or as graphs for other runtimes."""

from nisp.pruning.saving.network import load, save

__all__ = ["load", "save"]
