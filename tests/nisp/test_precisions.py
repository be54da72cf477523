"""Networks in half precision, and networks that change precision on the way."""

import math

import pytest
import torch
from torch import nn

import nisp
from nisp.pruning import anatomy, keep_plan, remove_channels
from nisp.pruning.surgery import removal
from tests.nisp.networks_of_any_kind import Plain, seeded

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))


class Casting(Plain):
    """Computes its second convolution in single precision, whatever the rest has."""

    def features(self, x):
        x = torch.relu(self.a(x))
        y = nn.functional.conv2d(x.float(), self.b.weight.float(), self.b.bias.float())
        return torch.relu(y).mean((2, 3)).to(x.dtype)


class Cast(Plain):
    """Runs in single precision only."""

    def features(self, x):
        return super().features(x.float())


class Autocast(Plain):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x).float()


KINDS = {
    "float64": (lambda: seeded(Plain).double(), torch.float64),
    "float32": (lambda: seeded(Plain), torch.float64),
    "bfloat16": (lambda: seeded(Plain).bfloat16(), torch.float64),
    "float16": (lambda: seeded(Plain).half(), torch.float64),
    "casting": (lambda: seeded(Casting), torch.float32),
    "casting from bfloat16": (lambda: seeded(Casting).bfloat16(), torch.float32),
    "single precision only": (lambda: seeded(Cast), torch.float32),
    "autocast": (lambda: seeded(Autocast), torch.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_removal_is_as_exact_as_the_precision_in_which_the_network_runs(kind):
    make, precision = KINDS[kind]
    net = make()
    parts = anatomy(net, X)
    kept = {name: torch.arange(count) for name, count in keep_plan(parts.groups, 0.5).items()}
    pruned = remove_channels(net, parts, kept)
    found = removal(net, pruned, parts, kept, X)
    assert found.tolerance == math.sqrt(torch.finfo(precision).eps)
    assert found.error < 10 * torch.finfo(precision).eps
    assert pruned.a.weight.dtype == net.a.weight.dtype
    wrong = remove_channels(net, parts, kept | {"a": torch.arange(4) + 4})
    assert removal(net, wrong, parts, kept, X).error > 100 * found.tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_in_float64_to_the_precision_of_the_weights(kind):
    make, _ = KINDS[kind]
    net = make()
    found = nisp.scores(net, X, frl_scores=torch.ones(6))
    expected = nisp.scores(seeded(Plain).double(), X, frl_scores=torch.ones(6))
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=torch.finfo(net.a.weight.dtype).eps, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_any_precision_are_pruned_in_one_call(kind):
    images = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    pruned = nisp.prune(KINDS[kind][0](), images)
    assert pruned.model.a.out_channels == 4 and pruned.model.b.weight.shape[:2] == (3, 4)
