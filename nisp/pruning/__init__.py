"""What any pruner needs: groups of channels, selection, surgery, budgets, least squares, mean compensation, saving.

Knows no method. Names are imported on first use, so that loading a saved network imports no pruning code.
"""

from typing import TYPE_CHECKING

from nisp.lazy import lazily

if TYPE_CHECKING:
    from nisp.pruning.contract import Consumer, Criterion, Group, Problem, Producer, Scores
    from nisp.pruning.counting import macs
    from nisp.pruning.layer_weights import weight_of
    from nisp.pruning.mean_compensation import mean_compensation
    from nisp.pruning.reconstruction import least_squares
    from nisp.pruning.selection import keep_plan, kept_channels, select
    from nisp.pruning.surgery import Anatomy, anatomy, removal_error, remove_channels

_HOMES = {
    **dict.fromkeys(("Consumer", "Criterion", "Group", "Problem", "Producer", "Scores"), "nisp.pruning.contract"),
    **dict.fromkeys(("keep_plan", "kept_channels", "select"), "nisp.pruning.selection"),
    **dict.fromkeys(("Anatomy", "anatomy", "removal_error", "remove_channels"), "nisp.pruning.surgery"),
    "least_squares": "nisp.pruning.reconstruction",
    "macs": "nisp.pruning.counting",
    "mean_compensation": "nisp.pruning.mean_compensation",
    "weight_of": "nisp.pruning.layer_weights",
}
__getattr__, __all__ = lazily(__name__, _HOMES, globals())
