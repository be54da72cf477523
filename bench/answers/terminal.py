"""The verdict table for a terminal."""

import textwrap
from typing import Any

import pandas as pd

from bench.answers.comparisons import OVERALL
from bench.answers.decisions import KINDS, OPEN
from bench.answers.sentences import Reductions, by_setting, headline
from bench.answers.wording import seeds_wanted
from bench.suite.schema import Suite

WIDTHS = {"comparison": 42, "setting": 16}
"""Columns, in characters; wider if a name needs it."""


def as_text(suite: Suite, answers: pd.DataFrame, removed: Reductions) -> str:
    """Each question, its claim, its answer, one line per comparison and setting, and how many have which verdict."""
    lines = []
    first, second = (max([least, *(len(text) + 2 for text in answers[column])]) for column, least in WIDTHS.items())
    for question in suite.questions:
        rows = answers[answers["question"] == question.id]
        lines += ["", *textwrap.wrap(f"{question.id}: {question.text}", 100)]
        sentences = (f"Claim: {question.claim}", f"Answer: {headline(question, answers)}")
        for line in (*sentences, by_setting(question, answers, removed)):
            lines += textwrap.wrap(line, 100, initial_indent="  ", subsequent_indent="  ")
        head = f"  {'comparison':<{first}}{'setting':<{second}}{'seeds':>5}{'difference':>12}  {'95 % interval':<22}"
        lines.append(f"{head}{'p':>6}  verdict")
        for row in rows.itertuples():
            interval = f"[{row.ci_low:.4g}, {row.ci_high:.4g}]"
            lines.append(
                f"  {row.comparison:<{first}}{row.setting:<{second}}{row.n_seeds:>5}{row.difference:>+12.4g}  "
                f"{interval:<22}{row.p_value:>6.3f}  {verdict_of(row)}"
            )
        lines += [
            f"  {name}: {', '.join(f'{(part == kind).sum()} {kind}' for kind in KINDS)}"
            for name, part in (
                ("over all settings", rows.loc[rows["setting"] == OVERALL, "verdict"]),
                ("setting by setting", rows.loc[rows["setting"] != OVERALL, "verdict"]),
            )
            if len(part)
        ]
    return "\n".join(lines).strip() + "\n"


def verdict_of(row: Any) -> str:
    """The verdict; with the number of seeds that would decide it, if it is open."""
    if row.verdict != OPEN:
        return str(row.verdict)
    return f"open, {seeds_wanted(row)} seeds needed"
