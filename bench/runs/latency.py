"""Latency of base and pruned networks, measured side by side while nothing else runs."""

from collections.abc import Sequence
from typing import Any

import torch

from bench.runs.bases import untrained
from bench.runs.plans import channels_to_keep
from bench.runs.progress import Progress
from bench.runs.records import Store, records_of
from bench.runs.stored_tensors import load_dataset
from bench.runs.timing import latencies_ms
from bench.suite.schema import Suite
from bench.training.devices import device
from nisp.pruning.surgery import Anatomy, anatomy, remove_channels


def measure_latencies(suite: Suite, store: Store) -> list[dict[str, object]]:
    """One row per data set, model and shape: median milliseconds of base and pruned network at batch 1 and large.

    Runs of the same plan and ratio have the same shapes, so each shape is measured once, with random weights; the base
    network and all its shapes take turns. If a plan allocates by scores, the shape is read from the run's record.
    """
    nets = dict.fromkeys((run.dataset, run.model) for run in suite.runs)
    allocated = records_of(suite, store, suite.allocated_runs)
    progress = Progress("measuring latency", len(nets))
    rows: list[dict[str, object]] = []
    for dataset_name, model in nets:
        dataset = load_dataset(store.data(dataset_name)).to(device())
        base = untrained(model, dataset, 0).to(device())
        structure = anatomy(base, dataset.example)
        shapes: dict[tuple[tuple[str, int], ...], list[dict[str, Any]]] = {}
        for d, m, plan, ratio in suite.latency_cells:
            if (d, m) == (dataset_name, model):
                keep = channels_to_keep(suite.plans[plan], ratio, base, structure)
                shapes.setdefault(tuple(keep.items()), []).append({"plan": plan, "ratio": ratio})
        for run, record in allocated.items():
            if (run.dataset, run.model) == (dataset_name, model):
                key = {"plan": run.plan, "ratio": run.ratio, "method": run.method, "seed": run.seed}
                shapes.setdefault(tuple(record["keep"].items()), []).append(key)
        timed = _timed(base, structure, list(shapes), suite.large_batch)
        for keys, latencies in zip(shapes.values(), timed, strict=True):
            rows += [{"dataset": dataset_name, "label": model.label, **key, **latencies} for key in keys]
        progress.step()
    return rows


def _timed(
    base: torch.nn.Module, structure: Anatomy, shapes: Sequence[tuple[tuple[str, int], ...]], batch: int
) -> list[dict[str, object]]:
    """The latency columns of runs.csv for each shape (group name and channels to keep)."""
    assert isinstance(structure.example, torch.Tensor), "data sets have one image as their example"
    models = [base]
    for shape in shapes:
        models.append(remove_channels(base, structure, {name: torch.arange(keep) for name, keep in shape}))
    one, *pruned_one = latencies_ms(models, structure.example, 1)
    large, *pruned_large = latencies_ms(models, structure.example, batch)
    return [
        {
            "latency_base_ms": one, "latency_ms": at_one,
            "latency_large_base_ms": large, "latency_large_ms": at_large, "latency_large_batch": batch,
        }
        for at_one, at_large in zip(pruned_one, pruned_large, strict=True)
    ]  # fmt: skip
