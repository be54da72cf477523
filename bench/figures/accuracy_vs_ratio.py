"""Accuracy against pruning ratio: after pruning, after recalibration, and with least squares."""

from bench.figures import _style as style
from bench.figures._results import Drawing, Results

NUMBER = 1


def draw(results: Results) -> Drawing:
    """Columns are models; rows are what was done after removing the channels."""
    runs = style.untrained(results.runs)
    models = style.curve_models(results.suite, runs, least=3)
    plain, refit = (runs[runs["reconstruction"] == kind] for kind in ("none", "least_squares"))
    wide = {m for m, n in plain[plain["label"].isin(models)].groupby("method")["ratio"].nunique().items() if n >= 3}
    plain = plain[plain["method"].isin(wide)]
    stages = [
        ("after pruning", plain, "top1_pruned"),
        ("after recalibration", plain, "top1_recalibrated"),
        ("with least squares", refit, "top1_final"),
    ]
    stages = [stage for stage in stages if not stage[1].empty]
    if not models or not stages:
        return None
    figure, panels = style.grid(len(stages), len(models), 2.2, sharex=True, sharey="row")
    for row, (stage, rows, metric) in zip(panels, stages, strict=True):
        methods = style.methods_of(results.suite, rows)
        for axes, model in zip(row, models, strict=True):
            part = rows[rows["label"] == model]
            style.line(axes, results.suite, part, "ratio", metric, methods)
            axes.axhline(part["top1_base"].mean(), color="#777777", linewidth=0.8, label="unpruned network")
            axes.set_title(f"{style.title(model)}, {stage}")
        row[0].set_ylabel("top-1 (%)")
    for axes in panels[-1]:
        axes.set_xlabel("pruning ratio")
    style.legend(figure, panels.flat, 4)
    return figure, (
        "Test accuracy against the pruning ratio of every group, mean over seeds, with a band of one "
        "standard deviation for NISP. Top: right after channels are "
        "removed. Middle: with batch-norm statistics re-estimated on training images (LeNet has none). "
        "Bottom: with the next layers re-solved by least squares and statistics re-estimated."
    )
