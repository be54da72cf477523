"""What torch operations do to channel ids: one small rule per operation, by kind; importing this fills the table."""

from nisp.pruning.channels.rules import layers, meetings, moves, norms, positions, values

__all__ = ["layers", "meetings", "moves", "norms", "positions", "values"]
