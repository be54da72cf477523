"""The input and output of drawing a figure."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from bench.suite.schema import Suite

Drawing = tuple[Figure, str] | None
"""A figure and its caption; None where the suite has nothing to show in it."""


@dataclass(frozen=True)
class Results:
    """A suite and its tables; ``runs`` and ``curves`` carry the columns of bench.answers.tables.labelled."""

    suite: Suite
    runs: pd.DataFrame
    curves: pd.DataFrame
    verdicts: pd.DataFrame
    effects: pd.DataFrame
