"""Effects of criterion, reconstruction, recovery and ratio on the final accuracy, in a full factorial.

Every seed is a complete design, so its variance splits exactly into main effects, two-way interactions and the rest;
the spread over seeds gives the uncertainty of each share.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
import pandera.pandas as pa

from bench.answers.statistics import paired_bootstrap
from bench.answers.tables import framed, labelled
from bench.suite.schema import Suite

FACTORS = ("criterion", "reconstruction", "recovery", "ratio")
EFFECTS = pa.DataFrameSchema(
    {
        "experiment": pa.Column(str),
        "panel": pa.Column(str),
        "kind": pa.Column(str, pa.Check.isin(["share", "level"])),
        "term": pa.Column(str),
        "level": pa.Column(str),
        "n_seeds": pa.Column(int, pa.Check.ge(2)),
        "value": pa.Column(float),
        "ci_low": pa.Column(float),
        "ci_high": pa.Column(float),
    },
    strict=True,
    ordered=True,
)
"""share: per cent of the variance of top1_final within a seed that a factor, an interaction of two (criterion x ratio)
or the rest explains. level: points of top1_final that a level of a factor adds to the mean of all."""


def effects(suite: Suite, runs: pd.DataFrame) -> pd.DataFrame:
    """Effects in every experiment that composes its methods, for each panel with two seeds or more."""
    runs = labelled(runs)
    rows: list[tuple[object, ...]] = []
    for experiment in suite.experiments:
        if experiment.compositions is None:
            continue
        chosen = runs["method"].isin(experiment.compositions.methods) & runs["ratio"].isin(experiment.ratios)
        chosen &= runs["label"].isin([m.label for m in experiment.models]) & runs["plan"].isin(experiment.plans)
        for panel, part in runs[chosen & runs["seed"].isin(experiment.seeds)].groupby("panel", sort=False):
            factors = [factor for factor in FACTORS if part[factor].nunique() > 1]
            if factors and part["seed"].nunique() > 1:
                rows += [(experiment.name, panel, *row) for row in _rows(part, factors)]
    return framed(rows, EFFECTS)


def _rows(runs: pd.DataFrame, factors: list[str]) -> Iterator[tuple[object, ...]]:
    levels = [list(dict.fromkeys(runs[factor])) for factor in factors]
    cells = runs.set_index(["seed", *factors])["top1_final"].sort_index()
    index = pd.MultiIndex.from_product([sorted(runs["seed"].unique()), *levels])
    table = cells.reindex(index).to_numpy().reshape(-1, *map(len, levels))
    shares = variance_shares(table)
    terms = [" x ".join(factors[axis] for axis in axes) or "rest" for axes in shares]
    for term, values in zip(terms, shares.values(), strict=True):
        yield "share", term, "all", *_interval(100 * values)
    for axis, factor in enumerate(factors):
        others = tuple(other + 1 for other in range(len(factors)) if other != axis)
        gains = table.mean(others) - table.mean(tuple(range(1, table.ndim)))[:, None]
        for level, values in zip(levels[axis], gains.T, strict=True):
            yield "level", factor, f"{level:g}" if isinstance(level, float) else level, *_interval(values)


def _interval(values: np.ndarray) -> tuple[int, float, float, float]:
    result = paired_bootstrap(values.tolist())
    return result.n, result.mean, result.low, result.high


def variance_shares(table: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    """Axes of one or two factors -> share of the variance within each seed, shape (seeds,); () is the rest.

    ``table``, shape (seeds, levels of factor 0, levels of factor 1, ...), has no gaps. Shares add up to 1.
    """
    axes = range(1, table.ndim)
    centred = table - table.mean(tuple(axes), keepdims=True)
    total = (centred**2).mean(tuple(axes))
    total = np.where(total > 0, total, 1.0)

    def mean_over_others(kept: tuple[int, ...]) -> np.ndarray:
        return centred.mean(tuple(axis for axis in axes if axis - 1 not in kept), keepdims=True)

    shares: dict[tuple[int, ...], np.ndarray] = {}
    main = {axis - 1: mean_over_others((axis - 1,)) for axis in axes}
    for axis, effect in main.items():
        shares[axis,] = (effect**2).mean(tuple(axes)) / total
    for first, second in combinations(main, 2):
        joint = mean_over_others((first, second)) - main[first] - main[second]
        shares[first, second] = (joint**2).mean(tuple(axes)) / total
    shares[()] = (centred**2).mean(tuple(axes)) / total - sum(shares.values())
    return shares
