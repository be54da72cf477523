"""What the verdicts of a question say, in two sentences computed from the tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from bench.answers.comparisons import OVERALL, cell_setting
from bench.answers.decisions import CONTRADICTED, EQUIVALENT, OPEN, SUPPORTED
from bench.answers.tables import labelled
from bench.answers.wording import amount, estimate, listed, metric_name, seeds_present, seeds_wanted
from bench.suite.questions import Question

Reductions = Mapping[tuple[str, str, float], tuple[float, float]]
"""(model label, plan, ratio) -> share of MACs and of parameters removed, in per cent."""

WORDS = {
    "difference": {
        SUPPORTED: "better than",
        CONTRADICTED: "worse than",
        EQUIVALENT: "equivalent within {margin} to",
    },
    "noninferiority": {
        SUPPORTED: "at most {margin} worse than",
        CONTRADICTED: "more than {margin} worse than",
    },
    "slope": {
        SUPPORTED: "better with depth than",
        CONTRADICTED: "worse with depth than",
        EQUIVALENT: "equivalent within {margin} to",
    },
}


def reductions(runs: pd.DataFrame) -> dict[tuple[str, str, float], tuple[float, float]]:
    """What each pruning ratio takes from each model, the mean over the runs of a cell."""
    runs = labelled(runs)
    removed = runs.assign(less_macs=1 - runs["macs"] / runs["macs_base"], less=1 - runs["params"] / runs["params_base"])
    cells = 100 * removed.groupby(["label", "plan", "ratio"])[["less_macs", "less"]].mean()
    return {cell: (float(macs), float(params)) for cell, macs, params in cells.itertuples()}


def headline(question: Question, verdicts: pd.DataFrame) -> str:
    """What holds over all settings, in one sentence; ``verdicts`` may hold the rows of other questions too."""
    rows = verdicts[verdicts["question"] == question.id]
    count = _settings(rows)
    overall = rows[rows["setting"] == OVERALL]
    parts = []
    for kind, words in _words(question):
        found = [f"{_other(question, row)} ({estimate(question, row)})" for row in _of(overall, kind)]
        if found:
            parts.append(f"{question.subject} is {words} {listed(found)}")
    undecided = [
        f"{_other(question, row)} ({estimate(question, row)}; {seeds_wanted(row)} would be needed)"
        for row in _of(overall, OPEN)
    ]
    if undecided:
        present = seeds_present(overall.loc[overall["verdict"] == OPEN, "n_seeds"], count)
        words = _words(question)[0][1] if question.kind == "noninferiority" else "against"
        subject = f"whether {question.subject} is" if question.kind == "noninferiority" else question.subject
        parts.append(f"not decided with {present}: {subject} {words} {listed(undecided)}")
    name = metric_name(question)
    return f"{name[0].upper()}{name[1:]}, {_where(question, count)}: {'; '.join(parts)}."


def by_setting(question: Question, verdicts: pd.DataFrame, removed: Reductions) -> str:
    """What holds in which setting, in one sentence; empty for a question about a single setting."""
    rows = verdicts[verdicts["question"] == question.id]
    if question.kind == "noninferiority" and question.against == ("base",):
        return _budget(question, rows, removed)
    rows = rows[rows["setting"] != OVERALL]
    if rows.empty:
        return ""
    parts = []
    for kind, words in _words(question):
        found = [
            f"{_other(question, next(part.itertuples()))} ({_names(part, rows)})"
            for _, part in rows[rows["verdict"] == kind].groupby("comparison", sort=False)
        ]
        if found:
            parts.append(f"{words} {listed(found)}")
    if not parts:
        return "By setting, nothing is decided."
    undecided = (rows["verdict"] == OPEN).sum()
    if undecided:
        parts.append(f"not decided: {undecided} of {len(rows)} comparisons")
    return f"By setting, {question.subject} is {'; '.join(parts)}."


def _of(rows: pd.DataFrame, verdict: str) -> Iterator[Any]:
    return rows[rows["verdict"] == verdict].itertuples()


def _words(question: Question) -> Sequence[tuple[str, str]]:
    margin = amount(question, question.margin)
    return [(kind, words.format(margin=margin)) for kind, words in WORDS[question.kind].items()]


def _other(question: Question, row: Any) -> str:
    other = str(row.comparison).removeprefix(f"{question.subject} vs ")
    return "the unpruned network" if other == "base" else other


def _settings(rows: pd.DataFrame) -> int:
    """Number of settings that the rows `overall` are means of."""
    return max(1, rows.loc[rows["setting"] != OVERALL, "setting"].nunique())


def _where(question: Question, count: int) -> str:
    if question.kind == "slope":
        return f"from {question.models[0]} to {question.models[-1]}"
    if count > 1:
        return f"over all {count} settings"
    label, *others = question.models
    if others:  # runs of the other models are missing
        return "over all settings"
    return f"in {cell_setting(label, question.ratios[0]) if len(question.ratios) == 1 else label}"


def _names(part: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The settings of one comparison's rows; 'all 3' where they are all of its settings."""
    total = (rows["comparison"] == part["comparison"].iloc[0]).sum()
    return f"all {total}" if len(part) == total else ", ".join(part["setting"])


def _budget(question: Question, rows: pd.DataFrame, removed: Reductions) -> str:
    """For each model, the largest ratio that stays within the margin, and what it removes."""
    verdict = dict(zip(rows["setting"], rows["verdict"], strict=True))
    if len(question.models) == len(question.ratios) == 1:
        verdict = {cell_setting(question.models[0], question.ratios[0]): verdict[OVERALL]}
    parts = []
    for label in question.models:
        held = [ratio for ratio in question.ratios if verdict.get(cell_setting(label, ratio)) == SUPPORTED]
        if held:
            macs, params = removed[label, question.plan, max(held)]
            parts.append(f"{label} at ratio {max(held):g}, {macs:.0f} % fewer MACs and {params:.0f} % fewer parameters")
        else:
            parts.append(f"{label} at none of the ratios tried")
    margin = amount(question, question.margin)
    return f"Shown to be at most {margin} worse than the unpruned network: {'; '.join(parts)}."
