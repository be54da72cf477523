"""Accuracy of every stage of a method, against what was removed."""

import pandas as pd

from bench.answers.tables import panels_of
from bench.figures import _style as style
from bench.figures._results import Drawing, Results

STAGES = (
    "Rows: right after channels are removed; with batch-norm statistics re-estimated on training images (LeNet has "
    "none); with the next layers re-solved by least squares, or with removed channels replaced by their means, and "
    "statistics re-estimated; after fine-tuning or training from scratch. The rows have scales of their own. Mean over "
    "seeds, with a band of one standard deviation for NISP; the grey line is the unpruned network."
)


def draw_against(results: Results, x: str, label: str, caption: str, reverse: bool = False) -> Drawing:
    """Columns are models, rows are stages; ``x`` is the column of ``results.runs`` on the axis called ``label``."""
    suite, runs = results.suite, results.runs
    models = panels_of(suite, style.untrained(runs), 3) or panels_of(suite, runs)
    stages = [stage for stage in _stages(runs[runs["panel"].isin(models)]) if not stage[1].empty]
    if not stages:
        return None
    figure, panels = style.grid(len(stages), len(models), 2.2, sharex=True, sharey="row")
    for row, (stage, rows, metric) in zip(panels, stages, strict=True):
        methods = style.methods_of(suite, rows)
        for axes, model in zip(row, models, strict=True):
            part = rows[rows["panel"] == model]
            style.line(axes, suite, part, x, metric, methods)
            axes.axhline(part["top1_base"].mean(), color="#777777", linewidth=0.8)
        row[0].set_ylabel(f"{stage}\ntop-1 (%)")
        style.row_legend(row)
    for top, bottom, model in zip(panels[0], panels[-1], models, strict=True):
        top.set_title(style.title(model))
        bottom.set_xlabel(label)
    if reverse:
        panels[0][0].set_xlim(105, 0)
    return figure, f"{caption} {STAGES}"


def _settled(untrained: pd.DataFrame) -> pd.DataFrame:
    """Recalibrated runs, if there are any: up to there, runs without recovery have the same accuracies."""
    recalibrated = untrained[untrained["recovery"] == "recalibrate"]
    return untrained if recalibrated.empty else recalibrated


def _stages(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame, str]]:
    """(title, rows, metric) of each stage."""
    untrained = _settled(style.untrained(runs))
    plain, refit, means = (untrained[untrained["reconstruction"] == kind] for kind in style.RECONSTRUCTIONS)
    ratios = plain.groupby("method")["ratio"].nunique()
    curves = plain[plain["method"].isin(ratios[ratios >= min(3, ratios.max())].index)] if len(ratios) else plain
    return [
        ("after pruning", curves, "top1_pruned"),
        ("after recalibration", curves, "top1_recalibrated"),
        ("with least squares", refit, "top1_final"),
        ("with mean compensation", means, "top1_final"),
        ("after recovery", style.trained(runs), "top1_final"),
    ]
