"""Learning curves of fine-tuning and of training from scratch."""

from bench.figures import _style as style
from bench.figures._results import Drawing, Results
from bench.tables import panels_of

NUMBER = 3


def draw(results: Results) -> Drawing:
    """Columns are models, rows are ratios nearest to a half and to three quarters."""
    runs, curves = results.runs, results.curves
    if curves.empty:
        return None
    available = sorted(curves["ratio"].unique())
    ratios = sorted({min(available, key=lambda ratio: abs(ratio - wanted)) for wanted in (0.5, 0.75)})
    models = panels_of(results.suite, curves)
    methods = style.methods_of(results.suite, curves)
    start = 60 if curves.groupby("panel")["test_top1"].max().min() > 70 else 0
    figure, panels = style.grid(len(ratios), len(models), 2.5, sharex=True, sharey="row")
    for row, ratio in zip(panels, ratios, strict=True):
        for axes, model in zip(row, models, strict=True):
            part = curves[(curves["ratio"] == ratio) & (curves["panel"] == model)]
            style.line(axes, results.suite, part, "epoch", "test_top1", methods, bands=methods)
            for one in axes.lines:
                one.set_markevery(4)
            base = runs.loc[runs["panel"] == model, "top1_base"].mean()
            axes.axhline(base, color="#777777", linewidth=0.8, label="unpruned network")
            axes.set_title(f"{style.title(model)}, ratio {ratio:g}")
            axes.set_ylim(start, 101)
        row[0].set_ylabel("test top-1 (%)")
    for axes in panels[-1]:
        axes.set_xlabel("epoch")
    style.legend(figure, panels.flat, 4)
    return figure, (
        "Recovery epoch by epoch: mean over seeds, with a band of one standard deviation. Epoch 0 is the pruned "
        f"network, recalibrated, or random weights for training from scratch. The axis starts at {start} %."
    )
