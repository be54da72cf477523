"""What the verdicts of a question say, in one sentence computed from the tables."""

from collections.abc import Callable, Mapping

import pandas as pd

from bench.answers.tables import labelled
from bench.suite.questions import Question

Reductions = Mapping[tuple[str, str, float], tuple[float, float]]
"""(model label, plan, ratio) -> share of MACs and of parameters removed, in per cent."""


def reductions(runs: pd.DataFrame) -> dict[tuple[str, str, float], tuple[float, float]]:
    """What each pruning ratio takes from each model, the mean over the runs of a cell."""
    runs = labelled(runs)
    removed = runs.assign(less_macs=1 - runs["macs"] / runs["macs_base"], less=1 - runs["params"] / runs["params_base"])
    cells = 100 * removed.groupby(["label", "plan", "ratio"])[["less_macs", "less"]].mean()
    return {cell: (float(macs), float(params)) for cell, macs, params in cells.itertuples()}


def cell_setting(label: str, ratio: float) -> str:
    """How the verdict table names one model at one ratio."""
    return f"{label} at {ratio:g}"


def answer(question: Question, verdicts: pd.DataFrame, removed: Reductions) -> str:
    """One sentence; ``verdicts`` may hold the rows of other questions too."""
    rows = verdicts[verdicts["question"] == question.id]
    if question.kind == "noninferiority" and question.against == ("base",):
        return _budget(question, rows, removed)
    words = {
        "difference": ("{s} is better than {o}", "{s} is worse than {o}", "no difference from {o} is established"),
        "noninferiority": ("{s} is within {m:g} of {o}", "{s} is more than {m:g} below {o}", "open against {o}"),
        "slope": ("{s} fares better with depth than {o}", "{s} fares worse with depth than {o}", "open against {o}"),
    }[question.kind]
    better = _named(question, rows, "supported")
    worse = _named(question, rows, "contradicted")
    undecided = _named(question, rows, "inconclusive", lambda counts: len(counts) == 1)
    parts = [
        word.format(s=question.subject, o=named, m=question.margin)
        for word, named in zip(words, (better, worse, undecided), strict=True)
        if named
    ]
    if any({"inconclusive"} < set(group["verdict"]) for _, group in rows.groupby("comparison")):
        parts.append("the other settings are open")
    return _sentence("; ".join(parts))


def _named(
    question: Question, rows: pd.DataFrame, verdict: str, wanted: Callable[[pd.Series], bool] = lambda counts: True
) -> str:
    """Comparators with that verdict, each with the number of its settings if it has several."""
    named = []
    for other in question.against:
        counts = rows.loc[rows["comparison"] == f"{question.subject} vs {other}", "verdict"].value_counts()
        if verdict in counts and wanted(counts):
            total = counts.sum()
            named.append(f"{other} ({counts[verdict]} of {total} settings)" if total > 1 else other)
    return ", ".join(named)


def _budget(question: Question, rows: pd.DataFrame, removed: Reductions) -> str:
    """For each model, the largest ratio that stays within the margin, and what it removes."""
    verdict = dict(zip(rows["setting"], rows["verdict"], strict=True))
    parts = []
    for label in question.models:
        held = [ratio for ratio in question.ratios if verdict.get(cell_setting(label, ratio)) == "supported"]
        if held:
            macs, params = removed[label, question.plan, max(held)]
            parts.append(f"{label} at ratio {max(held):g}, {macs:.0f} % fewer MACs and {params:.0f} % fewer parameters")
        else:
            parts.append(f"{label} at none of the ratios tried")
    points = "1 point" if question.margin == 1 else f"{question.margin:g} points"
    return f"Established within {points} of the unpruned network: {'; '.join(parts)}."


def _sentence(text: str) -> str:
    return (text[:1].upper() + text[1:] if text.startswith(("no ", "open ")) else text) + "."
