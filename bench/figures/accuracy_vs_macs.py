"""Accuracy against MACs left, without and with training."""

from bench.figures import _style as style
from bench.figures._results import Drawing, Results

NUMBER = 2


def draw(results: Results) -> Drawing:
    """Columns are models; the upper row is what one-shot pruning leaves, the lower what recovery reaches."""
    runs = results.runs
    runs = runs.assign(macs_left=100 * runs["macs"] / runs["macs_base"])
    stages = [
        ("without training", style.untrained(runs), "accuracy as pruned, each method's cheap step included"),
        ("after recovery", style.trained(runs), "after fine-tuning or training from scratch"),
    ]
    models = style.curve_models(results.suite, style.untrained(runs), 3)
    models = models or style.curve_models(results.suite, runs, 1)
    stages = [stage for stage in stages if not stage[1].empty]
    if not stages:
        return None
    figure, panels = style.grid(len(stages), len(models), 2.5, sharey="row")
    for row, (stage, rows, _) in zip(panels, stages, strict=True):
        methods = style.methods_of(results.suite, rows[rows["label"].isin(models)])
        for axes, model in zip(row, models, strict=True):
            part = rows[rows["label"] == model]
            style.line(axes, results.suite, part, "macs_left", "top1_final", methods)
            axes.axhline(runs.loc[runs["label"] == model, "top1_base"].mean(), color="#777777", linewidth=0.8)
            axes.set_title(f"{style.title(model)}, {stage}")
            axes.set_xlim(105, 0)
        row[0].set_ylabel("top-1 (%)")
        row[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, handlelength=3.2)
    for axes in panels[-1]:
        axes.set_xlabel("MACs left (%)")
    return figure, (
        "Test accuracy against multiply-accumulates left (ptflops), mean over seeds; the grey line is the unpruned "
        "network. Top: " + stages[0][2] + ". Bottom: " + stages[-1][2] + ". The rows have scales of their own."
    )
