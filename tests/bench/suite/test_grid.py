"""How many runs a suite may have."""

import pytest
from pydantic import ValidationError

from bench.suite import schema as suite
from bench.suite.schema import Suite

ONE = {"models": [{"name": "lenet"}, {"name": "cifarnet"}], "methods": ["nisp", "random"], "plans": ["uniform", "macs"]}


def content(*sizes, datasets=("digits",)):
    """A suite with an experiment of so many seeds and ratios for each of ``sizes``; a seed and ratio is 8 runs."""
    return {
        "suite": "large",
        "title": "Large",
        "datasets": [{"name": name} for name in datasets],
        "training": {"default": {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}},
        "finetune": {"epochs": 1},
        "methods": {"nisp": {"criterion": "nisp"}, "random": {"criterion": "random"}},
        "plans": {"macs": {"budget": "macs"}},
        "experiments": [
            {**ONE, "name": f"e{i}", "seeds": range(seeds), "ratios": [(r + 1) / 1000 for r in range(ratios)]}
            for i, (seeds, ratios) in enumerate(sizes)
        ],
    }


def test_more_than_a_million_runs_are_refused_before_they_are_laid_out():
    with pytest.raises(ValidationError, match=r"the experiments have 1,000,008 runs; at most 1,000,000 are allowed"):
        Suite(**content((250, 500), (1, 1)))


def test_runs_are_counted_over_all_data_sets_experiments_and_axes(monkeypatch):
    """8 runs for each of 3 times 2 and 2 times 5 cells, on two data sets: 256."""
    large = content((3, 2), (2, 5), datasets=("digits", "mnist"))
    monkeypatch.setattr(suite, "MOST_RUNS", 256)
    assert len(Suite(**large).runs) <= 256
    monkeypatch.setattr(suite, "MOST_RUNS", 255)
    with pytest.raises(ValidationError, match=r"the experiments have 256 runs; at most 255 are allowed"):
        Suite(**large)
