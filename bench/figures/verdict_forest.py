"""Every comparison of every question with its interval and verdict."""

import matplotlib.pyplot as plt

from bench.figures._results import Drawing, Results

NUMBER = 0
LOOK = {
    "supported": ("#0072B2", "o", "supported"),
    "contradicted": ("#D55E00", "X", "contradicted"),
    "inconclusive": ("#777777", "s", "inconclusive"),
}


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
        axes.axvline(-question.margin, color="black", linewidth=0.9)
        for kind, (colour, marker, label) in LOOK.items():
            part = rows[rows["verdict"] == kind]
            spread = [part["difference"] - part["ci_low"], part["ci_high"] - part["difference"]]
            axes.errorbar(
                part["difference"], part.index, xerr=spread, fmt=marker, color=colour, ms=4.5, lw=1.3, label=label
            )
        axes.set_yticks(
            rows.index, [f"{r.comparison.split(' vs ')[1]}  ·  {r.setting}" for r in rows.itertuples()], fontsize=6.5
        )
        axes.set_ylim(-0.7, len(rows) - 0.3)
        sign = "" if question.higher_is_better else ", sign turned"
        axes.set_title(f"{question.id}: {question.subject} minus …, {rows['metric'][0]}{sign}", loc="left")
        if not question.higher_is_better or question.kind == "slope":
            axes.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3))
    handles = [plt.Line2D([], [], color=c, marker=m, linestyle="-", label=t) for c, m, t in LOOK.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure, (
        "All comparisons: mean paired difference and 95 % bootstrap-t interval over seeds. The black line is what the "
        "claim must exceed: zero, or minus the margin. Verdicts also need a Holm-corrected p below 0.05."
    )
