"""Every comparison of every question with its interval and verdict."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from bench.answers.comparisons import OVERALL
from bench.figures._results import Drawing, Results
from bench.suite.questions import Question

NUMBER = 0
LOOK = {
    "supported": ("#00436B", "o", "#00436B"),
    "contradicted": ("#C44E00", "X", "#C44E00"),
    "equivalent": ("#3DB38A", "D", "#3DB38A"),
    "open": ("#B4B4B4", "s", "white"),
}
"""Colour, marker, and the colour inside it. Printed in grey, the colours are from dark to light in this order."""


def draw(results: Results) -> Drawing:
    """One panel per question; values right of the black line (zero, or minus the margin) support the claim."""
    verdicts = results.verdicts
    questions = [q for q in results.suite.questions if (verdicts["question"] == q.id).any()]
    if not questions:
        return None
    heights = [len(verdicts[verdicts["question"] == q.id]) + 2 for q in questions]
    figure, panels = plt.subplots(
        len(questions), 1, figsize=(7.2, 0.17 * sum(heights) + 0.5), height_ratios=heights, squeeze=False
    )
    for axes, question in zip(panels[:, 0], questions, strict=True):
        rows = verdicts[verdicts["question"] == question.id].iloc[::-1].reset_index(drop=True)
        _panel(axes, question, rows)
    handles = [
        plt.Line2D([], [], color=colour, marker=marker, markerfacecolor=face, linestyle="-", label=kind)
        for kind, (colour, marker, face) in LOOK.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(LOOK), frameon=False)
    return figure, (
        "All comparisons: mean paired difference and 95 % bootstrap-t interval over seeds, first over all settings "
        "(bold, on grey), then setting by setting. The black line is what the claim must exceed: zero, or minus the "
        "margin. Between the dotted lines, at minus and plus the margin, methods are equivalent. Verdicts also need a "
        "corrected p below 0.05."
    )


def _panel(axes: Axes, question: Question, rows: pd.DataFrame) -> None:
    axes.axvline(question.null, color="black", linewidth=0.9)
    if question.equivalence is not None:
        for border in (-question.equivalence, question.equivalence):
            axes.axvline(border, color="black", linewidth=0.7, linestyle=":")
    overall = rows["setting"] == OVERALL
    for place in rows.index[overall]:
        axes.axhspan(place - 0.5, place + 0.5, color="#EEEEEE", linewidth=0, zorder=0)
    for kind, (colour, marker, face) in LOOK.items():
        for part, size, width in (
            (rows[(rows["verdict"] == kind) & overall], 6.5, 2.2),
            (rows[(rows["verdict"] == kind) & ~overall], 4.0, 1.1),
        ):
            spread = [part["difference"] - part["ci_low"], part["ci_high"] - part["difference"]]
            axes.errorbar(
                part["difference"],
                part.index,
                xerr=spread,
                fmt=marker,
                color=colour,
                markerfacecolor=face,
                ms=size,
                lw=width,
            )
    axes.set_yticks(rows.index, _names(rows), fontsize=6.5)
    for tick, bold in zip(axes.get_yticklabels(), overall, strict=True):
        tick.set_fontweight("bold" if bold else "normal")
    axes.set_ylim(-0.7, len(rows) - 0.3)
    sign = "" if question.higher_is_better else ", sign turned"
    axes.set_title(f"{question.id}: {question.subject} minus …, {rows['metric'][0]}{sign}", loc="left")
    if not question.higher_is_better or question.kind == "slope":
        axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3))


def _names(rows: pd.DataFrame) -> Sequence[str]:
    return [f"{row.comparison.split(' vs ')[1]}  ·  {row.setting}" for row in rows.itertuples()]
