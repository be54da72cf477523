"""Following channels through a network, to find the slices of weights that belong to one channel."""

from nisp.pruning.channels.follow import follow
from nisp.pruning.channels.passes import ChannelPass
from nisp.pruning.channels.ties import Unfit

__all__ = ["ChannelPass", "Unfit", "follow"]
