"""Which runs a question compares: paired differences by comparison and setting."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.suite.questions import Question

OVERALL = "overall"


@dataclass(frozen=True)
class Comparison:
    """Subject minus comparator, signed so that positive favours the subject.

    ``strata`` holds, for each setting that counts, one difference per seed.
    """

    against: str
    setting: str
    strata: tuple[np.ndarray, ...]


def cell_setting(label: str, ratio: float) -> str:
    """How the verdict table names one model at one ratio."""
    return f"{label} at {ratio:g}"


def comparisons(question: Question, runs: pd.DataFrame) -> Iterator[Comparison]:
    """The comparisons of a question, each first over all settings and then setting by setting.

    ``runs`` has the columns of bench.answers.tables.labelled. What counts as one setting, and as one stratum of the row
    `overall`:

    difference      a model; differences are means over data sets and ratios, for seeds that have all of them
    noninferiority  a model at one ratio; but in the row `overall` a model, because its ratios share the base networks
                    and are not independent
    slope           models are the axis of the fit, so `overall` is the only row; its strata are the data sets

    A single setting is not listed again beside `overall`.
    """
    sign = 1 if question.higher_is_better else -1
    runs = runs[runs["label"].isin(question.models) & (runs["plan"] == question.plan)]
    runs = runs[runs["ratio"].isin(question.ratios)]
    for against in question.against:
        values = _paired(question, runs, against) * sign
        if question.kind == "slope":
            yield Comparison(against, OVERALL, tuple(_slopes(values)))
            continue
        by_model = _by_model(values, question.models)
        yield Comparison(against, OVERALL, tuple(_complete(group, ["dataset", "ratio"]) for group in by_model.values()))
        settings = list(_settings(question, by_model))
        if len(settings) > 1:
            yield from (Comparison(against, name, (differences,)) for name, differences in settings)


def _settings(question: Question, by_model: dict[str, pd.Series]) -> Iterator[tuple[str, np.ndarray]]:
    for label, group in by_model.items():
        if question.kind == "difference":
            yield label, _complete(group, ["dataset", "ratio"])
        else:
            for ratio, cell in group.groupby("ratio"):
                yield cell_setting(label, ratio), _complete(cell, ["dataset"])


def _paired(question: Question, runs: pd.DataFrame, against: str) -> pd.Series:
    """Subject minus comparator of the metric, cell by cell; index dataset, label, depth, seed, ratio."""
    key = ["dataset", "label", "depth", "seed", "ratio"]
    subject = runs[runs["method"] == question.subject].set_index(key)
    if against == "base":
        return subject[question.metric] - subject[f"{question.metric.partition('_')[0]}_base"]
    other = runs[runs["method"] == against].set_index(key)[question.metric]
    return (subject[question.metric] - other).dropna()


def _by_model(values: pd.Series, order: tuple[str, ...]) -> dict[str, pd.Series]:
    groups = dict(iter(values.groupby("label")))
    return {name: groups[name] for name in order if name in groups}


def _complete(values: pd.Series, levels: list[str]) -> np.ndarray:
    """The mean over ``levels`` for each seed that has every combination of them that occurs."""
    return values.groupby(["seed", *levels]).mean().unstack(levels).dropna().mean(axis=1).to_numpy()


def _slopes(values: pd.Series) -> Iterator[np.ndarray]:
    """Least-squares slopes over depth, one per seed that has every depth, for each data set."""
    for _, group in values.groupby("dataset"):
        by_depth = group.groupby(["seed", "depth"]).mean().unstack("depth").dropna()
        yield np.polyfit(by_depth.columns.astype(float), by_depth.to_numpy().T, 1)[0]
