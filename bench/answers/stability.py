"""How well rankings of methods agree between settings: Kendall's tau over budgets, seeds, models and schedules."""

from collections.abc import Iterator
from itertools import combinations

import pandas as pd
import pandera.pandas as pa
from scipy.stats import kendalltau

from bench.answers.tables import framed, labelled

STABILITY = pa.DataFrameSchema(
    {
        "between": pa.Column(str, pa.Check.isin(["ratios", "seeds", "models", "schedules"])),
        "recovery": pa.Column(str),
        "methods": pa.Column(int),
        "pairs": pa.Column(int),
        "tau_mean": pa.Column(float, pa.Check.in_range(-1, 1)),
        "tau_low": pa.Column(float, pa.Check.in_range(-1, 1)),
    },
    strict=True,
    ordered=True,
)


def stability(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and lowest tau-b between all pairs of ratios, seeds and models, of the methods' final accuracies.

    Methods with and without training are ranked separately. Between schedules, criteria with their reconstruction are
    ranked, in each panel and at each ratio where they were fine-tuned at both a fixed and a tuned learning rate.
    """
    runs = labelled(runs)
    trained = ~runs["recovery"].isin(["none", "recalibrate"])
    ranked: list[tuple[str, str, int, list[float]]] = []
    for kind, part in (("without training", runs[~trained]), ("with training", runs[trained])):
        for between, level in (("ratios", "ratio"), ("seeds", "seed"), ("models", "panel")):
            means = part.pivot_table(index="method", columns=level, values="top1_final")
            ranked.append((between, kind, len(means), list(_taus(means))))
    tuned = runs[runs["recovery"].isin(["finetune", "finetune_tuned"]) & (runs["steps"] == 1)]
    choices, between_schedules = set(), []
    for _, part in tuned.groupby(["panel", "ratio"]):
        means = part.pivot_table("top1_final", ["criterion", "reconstruction"], "recovery").dropna()
        if taus := list(_taus(means)):
            between_schedules += taus
            choices |= set(means.index)
    ranked.append(("schedules", "fine-tuned", len(choices), between_schedules))
    rows = [(*what, len(taus), sum(taus) / len(taus), min(taus)) for *what, taus in ranked if taus]
    return framed(rows, STABILITY)


def _taus(means: pd.DataFrame) -> Iterator[float]:
    for first, second in combinations(means.columns, 2):
        both = means[[first, second]].dropna()
        tau = kendalltau(both[first], both[second]).statistic if len(both) > 2 else float("nan")
        if tau == tau:
            yield float(tau)
