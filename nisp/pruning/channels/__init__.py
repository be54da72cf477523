"""Following channels through a network, to learn which slices of which weights belong to one channel."""

from nisp.pruning.channels.follow import follow
from nisp.pruning.channels.trace import Trace, Unfit

__all__ = ["Trace", "Unfit", "follow"]
