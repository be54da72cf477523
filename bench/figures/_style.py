"""The look of all figures: colours for the colour-blind, and a marker and dash per method, for print in grey."""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.suite.schema import Suite
from bench.training.recoveries import SCRATCH

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D1F", "#882255", "#000000")
"""Okabe and Ito's, with brown and wine in place of yellow, which does not show on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "h", "p", "<", ">")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)), (0, (4, 1, 1, 1, 1, 1)))
RECONSTRUCTIONS = {"none": "none", "least_squares": "least squares", "mean": "mean compensation"}
GREYS = ("#000000", "#666666", "#A0A0A0", "#444444")
NAMES = {
    "lenet": "LeNet", "plain": "Plain", "resnet": "ResNet", "cifarnet": "Cifar-net", "alexnet": "AlexNet",
    "caffenet": "CaffeNet", "googlenet": "GoogLeNet", "googlenet_caffe": "GoogLeNet (Caffe)",
    "resnet_imagenet": "ResNet",
}  # fmt: skip


def apply() -> None:
    """Set matplotlib's defaults."""
    plt.rcParams.update(
        {
            "figure.dpi": 100, "savefig.dpi": 200, "figure.constrained_layout.use": True, "font.size": 9,
            "axes.titlesize": 9.5, "axes.labelsize": 9, "legend.fontsize": 8, "axes.spines.top": False,
            "axes.spines.right": False, "axes.grid": True, "grid.color": "#dddddd", "grid.linewidth": 0.6,
            "lines.linewidth": 1.5, "lines.markersize": 4.5, "pdf.fonttype": 42, "svg.hashsalt": "nisp",
        }
    )  # fmt: skip


def look(suite: Suite, method: str) -> dict[str, Any]:
    """Colour, marker and dash of a method: one for each criterion in all figures, greys for training from scratch.

    Markers are hollow where the next layers were re-solved by least squares, and half filled where removed channels
    were replaced by their means; a tuned learning rate, or several steps, change marker and dash. NISP's own line is
    the thickest.
    """
    spec = suite.methods[method]
    specs = [spec for name, spec in suite.methods.items() if not name.startswith("scratch")]
    criteria = list(dict.fromkeys(other.criterion for other in specs))
    if spec.recovery.startswith("scratch"):
        index = SCRATCH.index(spec.recovery)
        return {"color": GREYS[index], "marker": MARKERS[(9 + index) % 12], "linestyle": DASHES[1 + index]}
    index = criteria.index(spec.criterion)
    other = index + 3 * (spec.recovery == "finetune_tuned") + 4 * (spec.steps > 1) + 2 * (not spec.rescore)
    style = {"color": COLOURS[index % 9], "marker": MARKERS[other % 12], "linestyle": DASHES[other % 9]}
    if spec.reconstruction == "least_squares":
        style["markerfacecolor"] = "white"
    if spec.reconstruction == "mean":
        style["fillstyle"] = "left"
    return style | ({"linewidth": 2.4, "zorder": 5} if spec.criterion == "nisp" else {})


def title(panel: str) -> str:
    """A panel's model as people write it, and its data set or plan, if given, on a second line."""
    label, _, rest = panel.partition(" ")
    family, _, depth = label.partition("-")
    name = "-".join(part for part in (NAMES.get(family, family), depth) if part)
    return f"{name}\n{rest}" if rest else name


def line(
    axes: Axes, suite: Suite, rows: pd.DataFrame, x: str, y: str, methods: Sequence[str], bands: Sequence[str] = ()
) -> None:
    """Mean over seeds of ``y`` against ``x`` for each method; those of ``bands``, and NISP, with one std around it."""
    for method in methods:
        grouped = rows[rows["method"] == method].groupby(x)[y].agg(["mean", "std"]).dropna(subset="mean")
        if grouped.empty:
            continue
        style = look(suite, method)
        axes.plot(grouped.index, grouped["mean"], label=method, **style)
        is_nisp = suite.methods[method].criterion == "nisp"
        if is_nisp or method in bands:
            low, high = grouped["mean"] - grouped["std"].fillna(0), grouped["mean"] + grouped["std"].fillna(0)
            axes.fill_between(
                grouped.index, low, high, color=style["color"], alpha=0.15 if is_nisp else 0.08, linewidth=0
            )


def grid(rows: int, columns: int, height: float = 2.5, **kwargs: Any) -> tuple[Figure, Any]:
    """A grid of panels as wide as two printed columns."""
    return plt.subplots(rows, columns, figsize=(max(7.2, 2.5 * columns), height * rows + 0.5), squeeze=False, **kwargs)


def legend(figure: Figure, panels: Iterable[Axes], columns: int = 4) -> None:
    """One legend under all panels, each method once, in as many columns up to ``columns`` as the figure is wide."""
    handles, labels = _entries(panels)
    for count in range(columns, 0, -1):
        made = figure.legend(handles, labels, loc="outside lower center", ncols=count, frameon=False, handlelength=3.2)
        if count == 1 or made.get_window_extent().width <= figure.bbox.width:
            break
        made.remove()


def row_legend(row: Sequence[Axes]) -> None:
    """One legend next to a row of panels, each method once; a dense one for many methods, no higher than the row."""
    handles, labels = _entries(row)
    style: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False, "handlelength": 3.2}
    if len(labels) > 14:
        style |= {"fontsize": 6, "labelspacing": 0.15}
    row[-1].legend(handles, labels, **style)


def _entries(panels: Iterable[Axes]) -> tuple[list[Any], list[str]]:
    """Handles and labels of all panels, each label once."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return list(entries.values()), list(entries)


def untrained(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs without any training after pruning."""
    return rows[rows["recovery"].isin(["none", "recalibrate"])]


def trained(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs that were fine-tuned or trained from scratch."""
    return rows[~rows["recovery"].isin(["none", "recalibrate"])]


def methods_of(suite: Suite, rows: pd.DataFrame) -> list[str]:
    """Methods that occur in ``rows``, in the suite's order."""
    present = set(rows["method"])
    return [method for method in suite.methods if method in present]
