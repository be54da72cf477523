"""Latency of base and pruned networks, measured side by side while nothing else runs."""

import torch

from bench.batch import untrained
from bench.devices import device
from bench.measure import latencies_ms
from bench.progress import Progress
from bench.records import Store
from bench.suite import Suite
from bench.surgery import anatomy, keep_plan, prune
from bench.tensors import load_dataset


def measure_latencies(suite: Suite, store: Store) -> list[dict[str, object]]:
    """One row a data set, model and ratio: median milliseconds of base and pruned network at batch 1 and large.

    Methods that prune the same ratio of every group leave the same shapes, so each shape is measured once, with
    random weights, the base network and all its ratios taking turns.
    """
    cells = dict.fromkeys((run.dataset, run.model, run.ratio) for run in suite.runs)
    nets = dict.fromkeys((dataset, model) for dataset, model, _ in cells)
    progress = Progress("measuring latency", len(nets))
    rows: list[dict[str, object]] = []
    for dataset_name, model in nets:
        dataset = load_dataset(store.data(dataset_name)).to(device())
        base = untrained(model, dataset, 0).to(device())
        parts = anatomy(base, dataset.example)
        ratios = sorted(ratio for d, m, ratio in cells if (d, m) == (dataset_name, model))
        models = [base]
        for ratio in ratios:
            plan = keep_plan(parts.groups, ratio)
            models.append(prune(base, parts, {name: torch.arange(keep) for name, keep in plan.items()}))
        one, *pruned_one = latencies_ms(models, dataset.example, 1)
        large, *pruned_large = latencies_ms(models, dataset.example, suite.large_batch)
        for ratio, at_one, at_large in zip(ratios, pruned_one, pruned_large, strict=True):
            rows.append(
                {
                    "dataset": dataset_name, "label": model.label, "ratio": ratio,
                    "latency_base_ms": one, "latency_ms": at_one,
                    "latency_large_base_ms": large, "latency_large_ms": at_large,
                    "latency_large_batch": suite.large_batch,
                }
            )  # fmt: skip
        progress.step()
    return rows
