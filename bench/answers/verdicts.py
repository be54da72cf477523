"""Verdicts on a suite's questions, computed from runs.csv."""

import textwrap
from collections.abc import Iterator

import numpy as np
import pandas as pd

from bench.answers.sentences import Reductions, answer, cell_setting
from bench.answers.statistics import Paired, holm, paired_bootstrap
from bench.answers.tables import VERDICTS, framed, labelled
from bench.suite.questions import Question
from bench.suite.schema import Suite

LEVEL = 0.05
WIDTHS = {"comparison": 42, "setting": 16}
"""Columns of the table for terminals, in characters; wider if a name needs it."""


def verdicts(suite: Suite, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per question, comparison and setting; p-values are Holm-corrected within each question."""
    rows: list[dict[str, object]] = []
    for question in suite.questions:
        compared = list(_comparisons(question, labelled(runs)))
        corrected = holm([result.p for _, _, result in compared])
        for (against, setting, result), p in zip(compared, corrected, strict=True):
            rows.append(
                {
                    "question": question.id,
                    "comparison": f"{question.subject} vs {against}",
                    "setting": setting,
                    "n_seeds": result.n,
                    "metric": _metric_name(question),
                    "difference": result.mean,
                    "ci_low": result.low,
                    "ci_high": result.high,
                    "p_value": p,
                    "verdict": verdict(result, p, -question.margin),
                }
            )
    return framed(rows, VERDICTS)


def verdict(result: Paired, p: float, null: float) -> str:
    """Decided only if interval and corrected p-value agree; differences are positive in favour of the subject."""
    if p < LEVEL and result.low > null:
        return "supported"
    if p < LEVEL and result.high < null:
        return "contradicted"
    return "inconclusive"


def _metric_name(question: Question) -> str:
    if question.kind == "slope":
        return f"{question.metric} per layer"
    return f"{question.metric} (margin {question.margin:g})" if question.kind == "noninferiority" else question.metric


def _comparisons(question: Question, runs: pd.DataFrame) -> Iterator[tuple[str, str, Paired]]:
    """(against, setting, result) with differences signed so that positive favours the subject."""
    sign = 1 if question.higher_is_better else -1
    runs = runs[runs["label"].isin(question.models) & (runs["plan"] == question.plan)]
    runs = runs[runs["ratio"].isin(question.ratios)]
    for against in question.against:
        values = _paired(question, runs, against) * sign
        if question.kind == "difference":
            for label, group in _grouped(values, "label", question.models):
                yield against, label, paired_bootstrap(group.groupby("seed").mean())
        elif question.kind == "noninferiority":
            for label, group in _grouped(values, "label", question.models):
                for ratio, cell in group.groupby("ratio"):
                    yield against, cell_setting(label, ratio), paired_bootstrap(cell.to_numpy(), null=-question.margin)
        else:
            by_depth = values.groupby(["dataset", "seed", "depth"]).mean().unstack("depth").dropna()
            slopes = np.polyfit(by_depth.columns.astype(float), by_depth.to_numpy().T, 1)[0]
            setting = f"{question.models[0]} to {question.models[-1]}"
            yield against, setting, paired_bootstrap(slopes)


def _paired(question: Question, runs: pd.DataFrame, against: str) -> pd.Series:
    """Subject minus comparator of the metric, cell by cell; index dataset, label, depth, seed, ratio."""
    key = ["dataset", "label", "depth", "seed", "ratio"]
    subject = runs[runs["method"] == question.subject].set_index(key)
    if against == "base":
        return subject[question.metric] - subject[f"{question.metric.partition('_')[0]}_base"]
    other = runs[runs["method"] == against].set_index(key)[question.metric]
    return (subject[question.metric] - other).dropna()


def _grouped(values: pd.Series, level: str, order: tuple[str, ...]) -> Iterator[tuple[str, pd.Series]]:
    groups = dict(iter(values.groupby(level)))
    return ((name, groups[name]) for name in order if name in groups)


def as_text(suite: Suite, answers: pd.DataFrame, removed: Reductions) -> str:
    """The verdict table for a terminal: each question, its claim, its answer, and one line per comparison."""
    lines = []
    first, second = (max([least, *(len(text) + 2 for text in answers[column])]) for column, least in WIDTHS.items())
    for question in suite.questions:
        rows = answers[answers["question"] == question.id]
        lines += ["", *textwrap.wrap(f"{question.id}: {question.text}", 100)]
        for line in (f"Claim: {question.claim}", f"Answer: {answer(question, answers, removed)}"):
            lines += textwrap.wrap(line, 100, initial_indent="  ", subsequent_indent="  ")
        head = f"  {'comparison':<{first}}{'setting':<{second}}{'seeds':>5}{'difference':>12}  {'95 % interval':<22}"
        lines.append(f"{head}{'p':>6}  verdict")
        for row in rows.itertuples():
            interval = f"[{row.ci_low:.4g}, {row.ci_high:.4g}]"
            lines.append(
                f"  {row.comparison:<{first}}{row.setting:<{second}}{row.n_seeds:>5}{row.difference:>+12.4g}  "
                f"{interval:<22}{row.p_value:>6.3f}  {row.verdict}"
            )
        counts = rows["verdict"].value_counts()
        lines.append("  " + ", ".join(f"{counts.get(v, 0)} {v}" for v in ("supported", "contradicted", "inconclusive")))
    return "\n".join(lines).strip() + "\n"
