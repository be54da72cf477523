"""Following channels through a network, to learn which slices of which weights belong to one channel."""

from bench.channels.trace import Trace, Unfit, follow

__all__ = ["Trace", "Unfit", "follow"]
