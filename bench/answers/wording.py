"""How metrics, amounts and estimates are written where people read them."""

from collections.abc import Iterable, Sequence
from math import floor, log10
from typing import Any

import pandas as pd

from bench.answers.seeds import MOST
from bench.suite.questions import Question

METRIC_NAMES = {
    "top1_pruned": "top-1 accuracy right after pruning",
    "top1_recalibrated": "top-1 accuracy after recalibration",
    "top1_final": "top-1 accuracy",
    "top5_final": "top-5 accuracy",
    "ware": "WARE",
    "agreement_top1": "top-1 agreement",
    "agreement_top5": "top-5 agreement",
    "score_seconds": "scoring time",
}


def metric_name(question: Question) -> str:
    """Of what is compared, as in 'WARE per layer'."""
    return METRIC_NAMES[question.metric] + (" per layer" if question.kind == "slope" else "")


def unit(question: Question) -> str:
    """Of a difference in the question's metric, with a leading blank; empty for a pure number."""
    if question.metric == "ware":
        return ""
    return " s" if question.metric == "score_seconds" else " points"


def amount(question: Question, value: float) -> str:
    """A margin with its unit: '1 point', '0.5 points', '0.01 per layer'."""
    text = f"{value:g}{unit(question)}"
    text = text.removesuffix("s") if text == "1 points" else text
    return text + (" per layer" if question.kind == "slope" else "")


def estimate(question: Question, row: Any) -> str:
    """A difference with its interval, to three digits or a thousandth of the margin: '+16.5 points [13.4, 19.6]'."""
    finest = 3 - floor(log10(question.margin))
    difference, low, high = (round(value, finest) + 0.0 for value in (row.difference, row.ci_low, row.ci_high))
    return f"{difference:+.3g}{unit(question)} [{low:.3g}, {high:.3g}]"


def seeds_wanted(row: Any) -> str:
    """What would decide an open row: 'about 40', rounded up to two digits, or 'more than 1000'."""
    if pd.isna(row.seeds_needed):
        return f"more than {MOST}"
    needed = int(row.seeds_needed)
    step = 10 ** max(0, len(str(needed)) - 2)
    return f"about {-(-needed // step) * step}"


def seeds_present(counts: Iterable[int], settings: int) -> str:
    """'8 seeds per setting', or '5 to 8 seeds' of a question about a single setting."""
    low, high = min(counts), max(counts)
    return (f"{low} seeds" if low == high else f"{low} to {high} seeds") + (" per setting" if settings > 1 else "")


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""
