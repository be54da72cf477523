"""Accuracy against MACs left."""

from dataclasses import replace

from bench.figures._accuracy import draw_against
from bench.figures._results import Drawing, Results

NUMBER = 2


def draw(results: Results) -> Drawing:
    """Accuracy of the pruned network against the share of multiply-accumulates left."""
    counters = " and ".join(sorted(results.runs["macs_counter"].unique()))
    runs = results.runs.assign(macs_left=100 * results.runs["macs"] / results.runs["macs_base"])
    return draw_against(
        replace(results, runs=runs),
        "macs_left",
        "MACs left (%)",
        f"Test accuracy against multiply-accumulates left, counted by {counters}.",
        reverse=True,
    )
