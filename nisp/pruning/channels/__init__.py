"""Following channels through a network, to learn which slices of which weights belong to one channel."""

from nisp.pruning.channels.follow import follow
from nisp.pruning.channels.passes import ChannelPass, Unfit

__all__ = ["ChannelPass", "Unfit", "follow"]
