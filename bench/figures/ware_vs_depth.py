"""WARE, the weighted error of the final responses, and accuracy against depth."""

from bench.figures import _style as style
from bench.figures._results import Drawing, Results

NUMBER = 4
MEASURES = (("ware", "WARE"), ("top1_final", "top-1 (%)"))


def draw(results: Results) -> Drawing:
    """Rows are families of models and what is measured of them, columns are ratios."""
    suite, runs = results.suite, style.untrained(results.runs).dropna(subset="ware")
    depths = runs.groupby(["model", "method", "ratio"])["depth"].nunique()
    wide = depths[depths >= 3].reset_index()
    if wide.empty:
        return None
    families = [name for name in dict.fromkeys(model.name for model in suite.models) if name in set(wide["model"])]
    ratios = sorted(wide["ratio"].unique())
    methods = [method for method in suite.methods if method in set(wide["method"])]
    rows = [(family, *measure) for family in families for measure in MEASURES]
    figure, panels = style.grid(len(rows), len(ratios), 1.9, sharex="row", sharey="row")
    for row, (family, metric, name) in zip(panels, rows, strict=True):
        for axes, ratio in zip(row, ratios, strict=True):
            part = runs[(runs["model"] == family) & (runs["ratio"] == ratio)]
            style.line(axes, suite, part, "depth", metric, methods)
            axes.set_title(f"{style.NAMES.get(family, family)}, ratio {ratio:g}")
            axes.set_xticks(sorted(part["depth"].unique()))
        row[0].set_ylim(bottom=0 if metric == "ware" else None)
        row[0].set_ylabel(name)
    for axes in panels[-1]:
        axes.set_xlabel("layers")
    style.legend(figure, panels.flat, 4)
    return figure, (
        "WARE is the weighted average relative error of the final responses that were kept, after recalibration and "
        "without training, on validation images: 0 is perfect, 1 as bad as answering zero. Below it, test accuracy of "
        "the same networks. Mean over seeds, with a band of one standard deviation for NISP."
    )
