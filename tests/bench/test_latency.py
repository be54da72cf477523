"""Latencies: which networks are timed, at which batches, and to which rows the times go."""

import pytest
import torch

from bench import latency
from bench.latency import measure_latencies
from bench.records import Store, save_record
from bench.specs import ModelSpec
from bench.tensors import save_dataset
from tests.bench.test_batch import suite

PLAIN = ModelSpec(name="plain", depth=4)
SUITE = suite(
    experiment={"models": [PLAIN], "seeds": [1, 2], "ratios": [0.5, 0.51], "plans": ["uniform", "macs"]},
    plans={"macs": {"budget": "macs", "allocation": "scores"}},
    large_batch=6,
)


@pytest.fixture
def store(tmp_path, digits):
    made = Store(tmp_path)
    save_dataset(made.data("digits"), digits)
    for run in SUITE.allocated_runs:
        first = 8 if (run.seed, run.ratio) == (1, 0.5) else 3  # the first is a shape of the uniform plan, too
        keep = {"0": first, "3": 8, "7": 16, "10": 16}
        save_record(made.record_of(run), SUITE.run_digest(run), {"row": {}, "keep": keep}, {})
    return made


def test_each_shape_is_timed_once_beside_the_base_and_all_rows_of_it_have_its_times(store, monkeypatch, digits):
    """At 0.5 and 0.51 a uniform plan leaves the same channels."""
    timed = []

    def widths(model):
        return tuple(layer.out_channels for layer in model.modules() if isinstance(layer, torch.nn.Conv2d))

    def times(models, example, batch):
        timed.append((list(map(widths, models)), batch))
        assert torch.equal(example, digits.example) and all(model(example).shape == (1, 10) for model in models)
        return [batch + 100.0 * number for number in range(len(models))]

    monkeypatch.setattr(latency, "latencies_ms", times)
    rows = measure_latencies(SUITE, store)
    shapes = [(16, 16, 32, 32), (8, 8, 16, 16), (3, 8, 16, 16)]
    assert timed == [(shapes, 1), (shapes, 6)]
    expected = []
    for keys, number in (
        ({"plan": "uniform", "ratio": 0.5}, 1), ({"plan": "uniform", "ratio": 0.51}, 1),
        ({"plan": "macs", "ratio": 0.5, "method": "one", "seed": 1}, 1),
        ({"plan": "macs", "ratio": 0.51, "method": "one", "seed": 1}, 2),
        ({"plan": "macs", "ratio": 0.5, "method": "one", "seed": 2}, 2),
        ({"plan": "macs", "ratio": 0.51, "method": "one", "seed": 2}, 2),
    ):  # fmt: skip
        expected.append({
            "dataset": "digits", "label": "plain-4", **keys,
            "latency_base_ms": 1.0, "latency_ms": 1.0 + 100 * number,
            "latency_large_base_ms": 6.0, "latency_large_ms": 6.0 + 100 * number, "latency_large_batch": 6,
        })  # fmt: skip
    assert rows == expected


def test_every_model_is_timed_on_its_own(store, monkeypatch):
    whole = suite(experiment={"models": [PLAIN, ModelSpec(name="lenet")], "ratios": [0.5]}, large_batch=6)
    monkeypatch.setattr(latency, "latencies_ms", lambda models, example, batch: [float(len(models))] * len(models))
    rows = measure_latencies(whole, store)
    assert [(row["label"], row["latency_ms"]) for row in rows] == [("plain-4", 2.0), ("lenet", 2.0)]
