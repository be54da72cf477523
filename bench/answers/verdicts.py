"""Verdicts on a suite's questions, computed from runs.csv."""

from collections.abc import Iterator

import pandas as pd

from bench.answers.comparisons import OVERALL, Comparison, comparisons
from bench.answers.decisions import OPEN, decide
from bench.answers.families import corrected
from bench.answers.seeds import seeds_needed
from bench.answers.statistics import Estimate, stratified
from bench.answers.tables import VERDICTS, framed, labelled
from bench.suite.questions import Question
from bench.suite.schema import Suite


def verdicts(suite: Suite, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per question, comparison and setting, each comparison's row `overall` first.

    P-values are corrected within each question, in two families: its rows `overall`, which answer it, and its settings,
    which are secondary. So in at most one question in twenty is any verdict over all settings wrong.
    """
    rows: list[dict[str, object]] = []
    runs = labelled(runs)
    for question in suite.questions:
        compared = [(comparison, stratified(comparison.strata)) for comparison in comparisons(question, runs)]
        decided: dict[int, dict[str, object]] = {}
        for overall in (True, False):
            family = {i: pair for i, pair in enumerate(compared) if (pair[0].setting == OVERALL) == overall}
            decided |= zip(family, _family(question, list(family.values())), strict=True)
        rows += [decided[index] for index in range(len(compared))]
    return framed(rows, VERDICTS)


def _family(question: Question, compared: list[tuple[Comparison, Estimate]]) -> Iterator[dict[str, object]]:
    """Rows whose p-values are corrected together."""
    asks_equivalence = question.equivalence is not None
    raw = [
        [found.p_differs(question.null), *([found.p_within(question.margin)] if asks_equivalence else [])]
        for _, found in compared
    ]
    for (comparison, found), (p_differs, *within) in zip(compared, corrected(raw), strict=True):
        decision = decide(
            found.low, found.high, p_differs, question.null, within[0] if within else None, question.margin
        )
        needed = None
        if decision.verdict == OPEN:
            needed = seeds_needed(
                found.mean, found.spreads, found.n, question.null, question.equivalence, rows=len(compared)
            )
        yield {
            "question": question.id,
            "comparison": f"{question.subject} vs {comparison.against}",
            "setting": comparison.setting,
            "n_seeds": found.n,
            "metric": f"{question.metric} per layer" if question.kind == "slope" else question.metric,
            "difference": found.mean,
            "ci_low": found.low,
            "ci_high": found.high,
            "p_value": decision.p,
            "margin": question.margin,
            "seeds_needed": needed,
            "verdict": decision.verdict,
        }
