"""What each torch operation does to channel ids: one small rule each, by kind; importing this fills the table."""

from nisp.pruning.channels.rules import layers, meetings, moves, norms, values

__all__ = ["layers", "meetings", "moves", "norms", "values"]
