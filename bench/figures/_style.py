"""How all figures look: colours for the colour-blind, and a marker and dash for each method, for print in grey."""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.suite import Suite

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8C6D1F")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))
NAMES = {"lenet": "LeNet", "plain": "Plain", "resnet": "ResNet"}


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


def look(method: str, methods: Sequence[str]) -> dict[str, Any]:
    """Colour, marker and dash of a method; NISP's own line is always the first and the thickest."""
    order = sorted(methods, key=lambda name: (name.split("+")[0] != "nisp", list(methods).index(name)))
    index = order.index(method)
    look = {"color": OKABE_ITO[index % 8], "marker": MARKERS[index % 8], "linestyle": DASHES[index % 8]}
    return look | ({"linewidth": 2.4, "zorder": 5} if index == 0 else {})


def title(label: str) -> str:
    """A model's label as people write it."""
    family, _, depth = label.partition("-")
    return "-".join(part for part in (NAMES.get(family, family), depth) if part)


def line(axes: Axes, rows: pd.DataFrame, x: str, y: str, methods: Sequence[str], band: bool = True) -> None:
    """Mean over seeds of ``y`` against ``x`` for each method, with a band of one standard deviation."""
    for method in methods:
        grouped = rows[rows["method"] == method].groupby(x)[y].agg(["mean", "std"]).dropna(subset="mean")
        if grouped.empty:
            continue
        style = look(method, methods)
        axes.plot(grouped.index, grouped["mean"], label=method, **style)
        if band:
            low, high = grouped["mean"] - grouped["std"].fillna(0), grouped["mean"] + grouped["std"].fillna(0)
            axes.fill_between(grouped.index, low, high, color=style["color"], alpha=0.10, linewidth=0)


def grid(rows: int, columns: int, height: float = 2.5, **kwargs: Any) -> tuple[Figure, Any]:
    """A grid of panels as wide as two printed columns."""
    return plt.subplots(rows, columns, figsize=(max(7.2, 2.5 * columns), height * rows + 0.5), squeeze=False, **kwargs)


def legend(figure: Figure, panels: Iterable[Axes], columns: int = 4) -> None:
    """One legend under all panels, each method once."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(
        entries.values(), entries.keys(), loc="outside lower center", ncols=columns, frameon=False, handlelength=3.2
    )


def curve_models(suite: Suite, rows: pd.DataFrame, least: int) -> list[str]:
    """Labels of the models that were run at ``least`` ratios or more, in the suite's order."""
    counts = rows.groupby("label")["ratio"].nunique()
    return [model.label for model in suite.models if counts.get(model.label, 0) >= least]


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
