"""Every committed answer follows from the committed runs: whatever changes a formula of the answers changes these."""

from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from bench.answers.effects import EFFECTS, effects
from bench.answers.sentences import reductions
from bench.answers.stability import STABILITY, stability
from bench.answers.tables import RUNS, VERDICTS, read
from bench.answers.terminal import as_text
from bench.answers.verdicts import verdicts
from bench.suite.loading import load_suite

ROOT = Path(__file__).parents[3]
FOLDERS = sorted(file.parent for file in ROOT.glob("results/reference/*/tables/runs.csv"))
"""Of every suite that is kept as a reference, and of those to come."""
SCHEMAS = {"verdicts": VERDICTS, "effects": EFFECTS, "stability": STABILITY}


@cache
def computed(folder):
    suite, runs = load_suite(ROOT / f"config/suites/{folder.parent.name}.yaml"), read(folder / "runs.csv", RUNS)
    answers = verdicts(suite, runs)
    text = as_text(suite, answers, reductions(runs))
    return {"verdicts": answers, "effects": effects(suite, runs), "stability": stability(runs)}, text


def test_there_are_reference_runs_with_all_kinds_of_questions():
    suites = [load_suite(ROOT / f"config/suites/{folder.parent.name}.yaml") for folder in FOLDERS]
    kinds = {question.kind for suite in suites for question in suite.questions}
    assert len(suites) >= 3 and kinds == {"difference", "noninferiority", "slope"}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_a_committed_table_follows_from_the_committed_runs(folder, name):
    """Numbers are written with ten digits."""
    committed = read(folder / f"{name}.csv", SCHEMAS[name])
    pd.testing.assert_frame_equal(computed(folder)[0][name], committed, check_dtype=False, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_the_committed_text_follows_from_the_committed_runs(folder):
    assert computed(folder)[1] == (folder / "verdicts.txt").read_text()
