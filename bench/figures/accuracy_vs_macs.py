"""Accuracy against MACs left."""

from dataclasses import replace

from bench.figures._accuracy import draw_against
from bench.figures._results import Drawing, Results

NUMBER = 2


def draw(results: Results) -> Drawing:
    """Accuracy of the pruned network against the share of multiply-accumulates left."""
    runs = results.runs.assign(macs_left=100 * results.runs["macs"] / results.runs["macs_base"])
    return draw_against(
        replace(results, runs=runs),
        "macs_left",
        "MACs left (%)",
        "Test accuracy against multiply-accumulates left (ptflops).",
        reverse=True,
    )
