"""The arithmetic of the search for readings gives what surgery gives."""

import pytest
import torch
from torch import nn

from bench.runs.table1 import network
from bench.runs.variants import load_variants, variant_plan
from benchmarks.table1_readings import NORMS, ROOT, described, readings, saved, shares
from nisp.pruning.multiplications import multiplications
from nisp.pruning.selection import kept_channels
from nisp.pruning.surgery import anatomy, remove_channels

VARIANTS = {v.name: v for v in load_variants(ROOT / "config/variants/table1.yaml").variants}


@pytest.mark.parametrize("name", ["alexnet-nisp-d", "googlenet-nisp", "resnet-56-nisp", "resnet-110-pfec-b"])
def test_costs_that_follow_from_groups_are_those_of_the_pruned_network(name):
    model, example = network(VARIANTS[name])
    structure = anatomy(model, example)
    plan = variant_plan(structure.groups, VARIANTS[name])
    kept = {group.name: kept_channels(torch.zeros(group.channels), plan[group.name]) for group in structure.groups}
    pruned = remove_channels(model, structure, kept)
    net = described(model, example)
    left = shares(net, plan)
    before, after = (sum(multiplications(each, example).values()) for each in (model, pruned))
    assert saved(net, left, "conv+linear", True, "multiplications") == pytest.approx(100 * (1 - after / before))
    before, after = (sum(p.numel() for p in each.parameters()) for each in (model, pruned))
    assert saved(net, left, f"conv+linear{NORMS}", True, "parameters") == pytest.approx(100 * (1 - after / before))


def test_every_combination_is_a_reading_and_counting_outputs_only_saves_less():
    net = described(*network(VARIANTS["resnet-56-nisp"]))
    found = list(readings("as built", net, {"everything": {"*": 0.25}}))
    assert len(found) == 4 * 2 * 4 * 7  # roundings, inputs, FLOPs counted, parameters counted
    words = "as built; everything; rounded exact; FLOPs of conv; parameters of conv; inputs"
    costs = {reading.words: reading.flops for reading in found}
    assert costs[f"{words} count"] == pytest.approx(43.75, abs=0.1)
    assert costs[f"{words} do not count"] == pytest.approx(25)


def test_padded_shortcuts_let_the_first_stages_stream_go_only():
    """Option A: channels that meet the zeros of a padded shortcut cannot be removed one by one."""
    model, example = network(VARIANTS["resnet-56-nisp"])
    for block in model.blocks:
        if not isinstance(block.shortcut, nn.Identity):
            block.shortcut = Padded(block.conv2.out_channels // 4)
    streams = [group.name for group in anatomy(model, example).groups if len(group.producers) > 1]
    assert streams == ["conv"]


class Padded(nn.Module):
    """Every second pixel, with so many zero channels on either side."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.channels, self.channels))
