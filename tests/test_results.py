"""docs/results.md quotes the reference runs, word for word."""

from pathlib import Path

import pytest

from bench.answers import tables
from bench.answers.effects import EFFECTS
from bench.answers.tables import RUNS, VERDICTS
from bench.suite.loading import load_suite

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results/reference"
QUOTED = ("factorial", "fashion")


def answers(suite):
    """Each question with its claim and its answer, without the table of comparisons."""
    text = (REFERENCE / suite / "tables/verdicts.txt").read_text().strip()
    return "\n\n".join(block.partition("\n  comparison ")[0] for block in text.split("\n\n"))


@pytest.mark.parametrize("suite", QUOTED)
def test_the_answers_are_those_of_the_reference_run(suite):
    page = (ROOT / "docs/results.md").read_text()
    assert f"<!-- {suite} -->\n```\n{answers(suite)}\n```\n" in page


@pytest.mark.parametrize("suite", ("embedded", *QUOTED))
def test_a_reference_run_is_whole_and_of_its_suite(suite):
    folder = REFERENCE / suite / "tables"
    runs = tables.read(folder / "runs.csv", RUNS)
    assert len(runs) == len(load_suite(ROOT / f"config/suites/{suite}.yaml").runs)
    assert not tables.read(folder / "verdicts.csv", VERDICTS).empty
    assert tables.read(folder / "effects.csv", EFFECTS).empty == (suite != "factorial")
    assert (runs["removal_error"] < 1e-9).all()
