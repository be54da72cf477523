"""Accuracy against pruning ratio."""

from bench.figures._accuracy import draw_against
from bench.figures._results import Drawing, Results

NUMBER = 1


def draw(results: Results) -> Drawing:
    """Accuracy of the pruned network when every group loses the same share of its channels."""
    return draw_against(
        results, "ratio", "pruning ratio", "Test accuracy against the pruning ratio, the same for every group."
    )
