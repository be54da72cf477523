"""The speed of training, as docs/performance.md quotes it."""

import csv
from pathlib import Path

import pytest

from benchmarks.speed.__main__ import FOLDER, LOOPS, as_markdown
from benchmarks.speed.training import BATCHES, rate

ROOT = Path(__file__).parents[2]


def test_the_documentation_quotes_the_table():
    with (ROOT / FOLDER / "training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert as_markdown(rows) in (ROOT / "docs/performance.md").read_text()
    assert {(row["loop"], row["precision"]) for row in rows} == set(LOOPS) and {row["pairs"] for row in rows} == {"5"}


@pytest.mark.slow
@pytest.mark.parametrize(("loop", "precision"), [*LOOPS, ("returned", "fp32")])
def test_every_loop_trains(monkeypatch, loop, precision):
    monkeypatch.setitem(BATCHES, "cifarnet", 2)
    assert rate(loop, "cifarnet", None, precision) > 0
