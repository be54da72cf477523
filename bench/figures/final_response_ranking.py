"""What ranking the final responses and propagating is worth: NISP against its variants (the paper's figure 5)."""

import pandas as pd

from bench.answers.statistics import paired_bootstrap
from bench.answers.tables import panels_of
from bench.figures import _style as style
from bench.figures._results import Drawing, Results
from bench.suite.specs import MethodSpec

NUMBER = 7
VARIANTS = ("nisp_mag", "lbl", "nisp_uniform", "nisp_permuted", "random")
KEY = ["dataset", "seed", "ratio"]


def draw(results: Results) -> Drawing:
    """Rows are what follows the selection, columns are models; below zero is worse than NISP."""
    suite, runs = results.suite, results.runs
    labels = {_composition(spec): label for label, spec in suite.methods.items() if spec.criterion == "nisp"}
    rivals = [
        (labels[_composition(spec)], label)
        for label, spec in suite.methods.items()
        if spec.criterion in VARIANTS
        and _composition(spec) in labels
        and not spec.recovery.startswith(("none", "scratch"))
    ]
    seeds = runs.groupby("method")["seed"].nunique()
    rivals = [(nisp, label) for nisp, label in rivals if min(seeds.get(nisp, 0), seeds.get(label, 0)) > 1]
    references = list(dict.fromkeys(nisp for nisp, _ in rivals))
    if not {suite.methods[label].criterion for _, label in rivals} - {"random"}:
        return None
    panels = panels_of(suite, runs[runs["method"].isin([label for _, label in rivals])])
    figure, axes = style.grid(len(references), len(panels), 2.0, sharex=True, sharey="row")
    for row, reference in zip(axes, references, strict=True):
        for one, panel in zip(row, panels, strict=True):
            part = runs[runs["panel"] == panel]
            for label in (label for nisp, label in rivals if nisp == reference):
                points = _differences(part, label, reference)
                if not points.empty:
                    spread = [points["mean"] - points["low"], points["high"] - points["mean"]]
                    look = style.look(suite, label)
                    one.errorbar(points.index, points["mean"], yerr=spread, label=label, capsize=2, **look)
            one.axhline(0, color="black", linewidth=0.8)
        row[0].set_ylabel(f"minus {reference}\n(points of top-1)")
        style.row_legend(row)
    for top, bottom, panel in zip(axes[0], axes[-1], panels, strict=True):
        top.set_title(style.title(panel))
        bottom.set_xlabel("pruning ratio")
    return figure, (
        "NISP with other scores of the final responses (by the weights that write them, all equal, permuted), without "
        "propagation (Inf-FS layer by layer), and random selection: final accuracy minus NISP's with the same "
        "reconstruction and recovery. Mean paired difference with a 95 % bootstrap-t interval over seeds."
    )


def _composition(spec: MethodSpec) -> tuple[str, str, int, bool]:
    """What a method does after selecting channels."""
    return spec.reconstruction, spec.recovery, spec.steps, spec.rescore


def _differences(runs: pd.DataFrame, label: str, reference: str) -> pd.DataFrame:
    """Ratio -> mean, low and high of the paired difference, if there are at least two seeds."""
    first, second = (runs[runs["method"] == method].set_index(KEY)["top1_final"] for method in (label, reference))
    paired = (first - second).dropna()
    rows = {}
    for ratio, values in paired.groupby("ratio"):
        if len(values) > 1:
            result = paired_bootstrap(values.tolist())
            rows[ratio] = (result.mean, result.low, result.high)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "low", "high"])
