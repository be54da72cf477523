"""Predictive power: how often the pruned network answers as the original does (the paper's section on AlexNet)."""

from bench.answers.tables import panels_of
from bench.figures import _style as style
from bench.figures._results import Drawing, Results

NUMBER = 8


def draw(results: Results) -> Drawing:
    """Rows are without and with training, columns are models."""
    suite, runs = results.suite, results.runs
    stages = [
        (name, part)
        for name, part in (("untrained", style.untrained(runs)), ("after recovery", style.trained(runs)))
        if not part.empty
    ]
    panels = panels_of(suite, runs)
    figure, axes = style.grid(len(stages), len(panels), 2.2, sharex=True, sharey="row")
    for row, (stage, part) in zip(axes, stages, strict=True):
        methods = style.methods_of(suite, part)
        for one, panel in zip(row, panels, strict=True):
            style.line(one, suite, part[part["panel"] == panel], "ratio", "agreement_top1", methods)
        row[0].set_ylabel(f"{stage}\nsame top-1 (%)")
    for top, bottom, panel in zip(axes[0], axes[-1], panels, strict=True):
        top.set_title(style.title(panel))
        bottom.set_xlabel("pruning ratio")
    style.legend(figure, axes.flat, 4)
    return figure, (
        "Predictive power: per cent of test images on which the pruned network's top-1 answer is the original's. The "
        "column agreement_top5 of runs.csv tells how often it is among the original's top five. Mean over seeds, with "
        "a band of one standard deviation for NISP."
    )
