"""Accuracy against MACs left."""

from dataclasses import replace

from bench.figures._accuracy import draw_against
from bench.figures._results import Drawing, Results

NUMBER = 2


def draw(results: Results) -> Drawing:
    """What is left of the accuracy at what is left of the multiply-accumulates."""
    runs = results.runs.assign(macs_left=100 * results.runs["macs"] / results.runs["macs_base"])
    return draw_against(
        replace(results, runs=runs),
        "macs_left",
        "MACs left (%)",
        "Test accuracy against multiply-accumulates left (ptflops).",
        reverse=True,
    )
