"""Learning curves of fine-tuning and of training from scratch."""

import pandas as pd

from bench.answers.tables import panels_of
from bench.figures import _style as style
from bench.figures._results import Drawing, Results

NUMBER = 3
MANY = 8
"""With more methods than this, bands would hide one another."""


def draw(results: Results) -> Drawing:
    """Columns are models, rows are the ratios of each that are nearest to a half and to three quarters."""
    runs, curves = results.runs, results.curves
    if curves.empty:
        return None
    models = panels_of(results.suite, curves)
    shown = {model: _ratios(curves[curves["panel"] == model]) for model in models}
    methods = style.methods_of(results.suite, curves)
    banded = methods if len(methods) <= MANY else []
    start = 60 if curves.groupby("panel")["test_top1"].max().min() > 70 else 0
    figure, panels = style.grid(max(map(len, shown.values())), len(models), 2.5, sharex="col", sharey="row")
    for column, model in zip(panels.T, models, strict=True):
        for axes, ratio in zip(column, shown[model], strict=False):
            part = curves[(curves["ratio"] == ratio) & (curves["panel"] == model)]
            style.line(axes, results.suite, part, "epoch", "test_top1", methods, bands=banded)
            for one in axes.lines:
                one.set_markevery(4)
            base = runs.loc[runs["panel"] == model, "top1_base"].mean()
            axes.axhline(base, color="#777777", linewidth=0.8, label="unpruned network")
            axes.set_title(f"{style.title(model)}, ratio {ratio:g}")
            axes.set_ylim(start, 101)
        column[len(shown[model]) - 1].set_xlabel("epoch")
        column[len(shown[model]) - 1].tick_params(labelbottom=True)
        for axes in column[len(shown[model]) :]:
            axes.set_axis_off()
    for row in panels:
        row[0].set_ylabel("test top-1 (%)")
    style.legend(figure, panels.flat, 4)
    whose = "" if banded else " around those of NISP"
    return figure, (
        f"Recovery epoch by epoch: mean over seeds, with a band of one standard deviation{whose}. Epoch 0 is the "
        f"pruned network, recalibrated, or random weights for training from scratch. The axis starts at {start} %."
    )


def _ratios(curves: pd.DataFrame) -> list[float]:
    """The ratios nearest to a half and to three quarters, without duplicates."""
    return sorted({min(curves["ratio"].unique(), key=lambda ratio: abs(ratio - wanted)) for wanted in (0.5, 0.75)})
