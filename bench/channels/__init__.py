"""Following channels through a network, to learn which slices of which weights belong to one channel."""

from bench.channels.follow import follow
from bench.channels.trace import Trace, Unfit

__all__ = ["Trace", "Unfit", "follow"]
