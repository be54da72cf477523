"""WARE, the weighted error of the final responses, against depth."""

from bench.figures import _style as style
from bench.figures._results import Drawing, Results

NUMBER = 4


def draw(results: Results) -> Drawing:
    """Rows are families of models, columns are ratios."""
    runs = style.untrained(results.runs).dropna(subset="ware")
    depths = runs.groupby(["model", "method", "ratio"])["depth"].nunique()
    wide = depths[depths >= 3].reset_index()
    if wide.empty:
        return None
    families = [
        name for name in dict.fromkeys(model.name for model in results.suite.models) if name in set(wide["model"])
    ]
    ratios = sorted(wide["ratio"].unique())
    methods = [method for method in results.suite.methods if method in set(wide["method"])]
    figure, panels = style.grid(len(families), len(ratios), 2.5, sharey="row")
    for row, family in zip(panels, families, strict=True):
        for axes, ratio in zip(row, ratios, strict=True):
            style.line(axes, runs[(runs["model"] == family) & (runs["ratio"] == ratio)], "depth", "ware", methods)
            axes.set_title(f"{style.NAMES.get(family, family)}, ratio {ratio:g}")
            axes.set_xticks(sorted(runs.loc[(runs["model"] == family) & (runs["ratio"] == ratio), "depth"].unique()))
            axes.set_xlabel("layers")
            axes.set_ylim(bottom=0)
        row[0].set_ylabel("WARE")
    style.legend(figure, panels.flat, 4)
    return figure, (
        "Weighted average relative error of the final responses that were kept, after recalibration and without "
        "training, on validation images: 0 is perfect, 1 as bad as answering zero. Mean over seeds, band of one "
        "standard deviation."
    )
