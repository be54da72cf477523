"""The costs in the committed runs are those of networks built, cut and counted again."""

from functools import cache

import pytest
import torch

from bench.answers.tables import RUNS, labelled, read
from bench.runs.plans import channels_to_keep
from bench.runs.size import size_of
from bench.suite import plugins
from bench.suite.loading import load_suite
from nisp.pruning.surgery import anatomy, remove_channels
from tests.bench.answers.test_golden import FOLDERS, ROOT

IMAGES = {
    "digits": (1, 8, 10), "mnist": (1, 28, 10), "fashion_mnist": (1, 28, 10), "cifar10": (3, 32, 10),
    "cifar100": (3, 32, 100), "imagenet": (3, 224, 1000),
}  # fmt: skip
"""Channels and side of a data set's images, and how many classes they have."""


@cache
def built(dataset, model):
    channels, side, classes = IMAGES[dataset]
    network = plugins.load(plugins.MODELS, model.name).build(model.depth, channels, side, classes).eval()
    return network, anatomy(network, torch.zeros(1, channels, side, side))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.name)
def test_committed_costs_are_those_of_networks_cut_by_their_plans(folder):
    """Every shape that a plan decides before anything is scored; of ratios, the least and the largest of each."""
    suite = load_suite(ROOT / f"config/suites/{folder.parent.name}.yaml")
    rows = labelled(read(folder / "runs.csv", RUNS)).drop_duplicates(["dataset", "label", "plan", "ratio"])
    rows = rows.set_index(["dataset", "label", "plan", "ratio"])[["macs_base", "params_base", "macs", "params"]]
    cells = suite.latency_cells
    ends = {(d, m, p, end(r for *c, r in cells if c == [d, m, p])) for d, m, p, _ in cells for end in (min, max)}
    for dataset, model, plan, ratio in ends:
        network, structure = built(dataset, model)
        keep = channels_to_keep(suite.plans[plan], ratio, network, structure)
        left = remove_channels(network, structure, {name: torch.arange(count) for name, count in keep.items()})
        whole, pruned = size_of(network, structure.example), size_of(left, structure.example)
        found = (whole.macs, whole.params, pruned.macs, pruned.params)
        assert found == tuple(rows.loc[dataset, model.label, plan, ratio]), (model.label, plan, ratio)
