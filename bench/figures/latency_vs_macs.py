"""Measured latency against MACs."""

import pandas as pd

from bench.answers.tables import panels_of
from bench.figures import _style as style
from bench.figures._results import Drawing, Results

NUMBER = 5


def draw(results: Results) -> Drawing:
    """One panel per batch size, one colour per model, one line per plan; on the diagonal, time follows MACs."""
    shapes = results.runs.drop_duplicates(["panel", "macs"]).sort_values("macs")
    batches = [("1", "latency_ms", "latency_base_ms")]
    batches.append((str(results.suite.large_batch), "latency_large_ms", "latency_large_base_ms"))
    figure, panels = style.grid(1, 2, 3.4, sharey=True)
    labels = panels_of(results.suite, results.runs)
    networks = list(dict.fromkeys(_network(shapes[shapes["panel"] == label]) for label in labels))
    plans = list(dict.fromkeys(results.runs["plan"]))
    for axes, (batch, pruned, base) in zip(panels[0], batches, strict=True):
        axes.plot([0, 100], [0, 100], color="#777777", linewidth=0.8, label="time proportional to MACs")
        for label in labels:
            part = shapes[shapes["panel"] == label]
            model, plan = networks.index(_network(part)), plans.index(part["plan"].iloc[0])
            axes.plot(
                100 * part["macs"] / part["macs_base"],
                100 * part[pruned] / part[base],
                label=style.title(label).replace("\n", " "),
                color=style.COLOURS[model % 9],
                marker=style.MARKERS[(model + 4 * plan) % 12],
                linestyle=style.DASHES[(model + 4 * plan) % 9],
            )
        axes.set_title(f"batch {batch}")
        axes.set_xlabel("MACs left (%)")
    panels[0][0].set_ylim(bottom=0)
    panels[0][0].set_ylabel("latency left (%)")
    style.legend(figure, panels.flat, 5)
    return figure, (
        "Median time of a forward pass of the pruned network, as a share of the unpruned one's, against MACs left. "
        "Both were measured taking turns in one job, on one thread, with nothing else running."
    )


def _network(runs: pd.DataFrame) -> tuple[str, str]:
    """Data set and model of runs of one network."""
    return runs["dataset"].iloc[0], runs["label"].iloc[0]
