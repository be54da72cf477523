"""How far settings of the reference runs are from independent, as docs/verdicts.md says."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from bench.answers.comparisons import OVERALL, comparisons
from bench.answers.tables import RUNS, labelled, read
from bench.suite.loading import load_suite

ROOT = Path(__file__).parents[3]
PAGE = " ".join((ROOT / "docs/verdicts.md").read_text().split())


@pytest.mark.parametrize("name", ["embedded", "factorial"])
def test_differences_of_one_seed_in_two_settings_hardly_correlate(name):
    """Mean over comparisons, and over pairs of settings in each."""
    runs = labelled(read(ROOT / f"results/reference/{name}/tables/runs.csv", RUNS))
    found = [
        np.mean([np.corrcoef(one, other)[0, 1] for one, other in combinations(comparison.strata, 2)])
        for question in load_suite(ROOT / f"config/suites/{name}.yaml").questions
        for comparison in comparisons(question, runs)
        if comparison.setting == OVERALL and len(comparison.strata) > 1
    ]
    assert f"{np.mean(found):.2f} (`{name}`)" in PAGE
