"""Groups that cannot be removed exactly, in networks that compute with a number of channels behind the pass's back."""

import pytest
import torch
from torch import nn

from nisp.pruning.exactness import inexact_groups, only
from nisp.pruning.selection import keep_plan
from nisp.pruning.surgery import anatomy, removal_error, remove_channels


class Chain(nn.Module):
    """Six layers; the outputs of ``counted`` are divided by the number that the layer's attribute says."""

    def __init__(self, counted):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6) for _ in range(6)])
        self.head, self.counted = nn.Linear(6, 3), counted

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = torch.tanh(layer(x))
            x = x / layer.out_features if number in self.counted else x
        return self.head(x)


@pytest.mark.parametrize("counted", [(), (0,), (3,), (1, 4), (0, 1, 2, 3, 4, 5)])
def test_the_groups_at_fault_are_found_and_the_others_are_pruned(counted):
    torch.manual_seed(0)
    net, x = Chain(counted).eval(), torch.randn(4, 6)
    structure = anatomy(net, x[:1])
    kept = {name: torch.arange(size) for name, size in keep_plan(structure.groups, 0.5).items()}
    faulty = inexact_groups(net, structure, kept, x, 1e-9)
    assert faulty == [f"layers.{number}" for number in counted]
    rest = only(structure, [name for name in structure.sizes if name not in faulty])
    pruned = remove_channels(net, rest, {name: kept[name] for name in rest.sizes})
    assert removal_error(net, pruned, rest, {name: kept[name] for name in rest.sizes}, x) < 1e-12
    assert [layer.out_features for layer in pruned.layers] == [6 if i in counted else 3 for i in range(6)]


def test_a_group_that_loses_nothing_is_not_at_fault():
    net, x = Chain((2,)).eval(), torch.randn(4, 6)
    structure = anatomy(net, x[:1])
    kept = {name: torch.arange(size) for name, size in structure.sizes.items()}
    assert inexact_groups(net, structure, kept, x, 1e-9) == []
