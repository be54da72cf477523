"""What any pruner needs: groups of channels, selection, surgery, budgets, least squares, saving. Names no method."""

from nisp.pruning.contract import Consumer, Criterion, Group, Problem, Producer, Scores
from nisp.pruning.counting import macs
from nisp.pruning.reconstruction import least_squares
from nisp.pruning.selection import keep_plan, kept_channels, select
from nisp.pruning.surgery import Anatomy, anatomy, removal_error, remove_channels

__all__ = [
    "Anatomy", "Consumer", "Criterion", "Group", "Problem", "Producer", "Scores", "anatomy", "keep_plan",
    "kept_channels", "least_squares", "macs", "removal_error", "remove_channels", "select",
]  # fmt: skip
