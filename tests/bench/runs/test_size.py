"""Who counts a network's MACs: ptflops, unless products are missing from its count."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.runs.plans import channels_to_keep
from bench.runs.size import macs_of, size_of
from bench.suite.specs import PlanSpec
from nisp.pruning import counting
from nisp.pruning.surgery import anatomy, remove_channels
from tests.bench.models.test_zoo import ZOO, built
from tests.conftest import EMBEDDED, build

IMAGE = torch.zeros(1, 3, 8, 8)


class SameConv(nn.Conv2d):
    """A layer of its own type, which pads before it convolves."""

    def forward(self, x):
        return F.conv2d(F.pad(x, [1, 1, 1, 1]), self.weight, self.bias, self.stride)


class Function(nn.Module):
    """What ``body`` does with a convolution's output, whose shape is (1, 4, 6, 6)."""

    def __init__(self, body):
        super().__init__()
        self.conv, self.body = nn.Conv2d(3, 4, 3, bias=False), body
        self.kernel = nn.Parameter(torch.ones(5, 4, 3, 3))

    def forward(self, x):
        return self.body(self.conv(x), self.kernel)


def tokens(x):
    return x.flatten(2).transpose(1, 2)


FUNCTIONS = {
    "conv2d": (lambda x, k: F.conv2d(x, k), 16 * 5 * 36),
    "conv_transpose2d": (lambda x, k: F.conv_transpose2d(x, k.transpose(0, 1)), 36 * 4 * 45),
    "linear": (lambda x, k: F.linear(tokens(x), k[:, :, 0, 0]), 36 * 4 * 5),
    "attention": (lambda x, _: F.scaled_dot_product_attention(*3 * [tokens(x)[:, None]]), 2 * 36 * 36 * 4),
    "matmul": (lambda x, _: torch.matmul(x.flatten(2), tokens(x)), 4 * 36 * 4),
    "@": (lambda x, k: tokens(x) @ k[:, :, 0, 0].T, 36 * 4 * 5),
    "einsum": (lambda x, k: torch.einsum("bchw,oc->bohw", x, k[:, :, 0, 0]), 36 * 4 * 5),
    "matrix times vector": (lambda x, k: tokens(x)[0] @ k[0, :, 0, 0], 36 * 4),
    "dot": (lambda x, _: torch.dot(x.flatten(), x.flatten()), 144),
    "addmv": (lambda x, k: torch.addmv(torch.zeros(36), tokens(x)[0], k[0, :, 0, 0]), 36 * 4),
    "addbmm": (lambda x, _: torch.addbmm(torch.zeros(4, 4), x.flatten(2), tokens(x)), 4 * 36 * 4),
    "bilinear": (lambda x, k: F.bilinear(tokens(x), tokens(x)[..., :3], k[..., 0]), 36 * 5 * 4 * 3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_product_that_no_plain_layer_makes_is_counted(name):
    body, products = FUNCTIONS[name]
    size = size_of(Function(body), IMAGE)
    assert size.products == 36 * 4 * 27 + products
    assert (size.counter, size.macs) == ("torch", size.products)


def test_a_layer_of_its_own_type_is_counted():
    size = size_of(nn.Sequential(SameConv(3, 8, 3, bias=False)), IMAGE)
    assert (size.macs, size.counter, size.params) == (8 * 27 * 64, "torch", 216)


def test_attention_and_recurrent_layers_are_counted_in_eval_mode_too():
    """Projections of queries, keys, values and the result; scores and averages. Then four gates of two matrices."""
    x = torch.zeros(1, 5, 8)
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    assert size_of(attention, x).macs == 4 * 5 * 64 + 2 * 2 * 25 * 4 + 2 * 5 * 8 * 16
    assert torch.backends.mha.get_fastpath_enabled()
    assert size_of(nn.LSTM(8, 6, batch_first=True).eval(), x).macs == 5 * 4 * (6 * 8 + 6 * 6)


def test_products_that_norms_and_activations_would_hide_are_found():
    """ptflops' number is larger than torch's, although the second convolution is missing from it."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), *(nn.BatchNorm2d(8) for _ in range(20)), SameConv(8, 2, 1, bias=False))
    size = size_of(net.eval(), IMAGE)
    assert size.counter == "torch" and size_of(net, IMAGE, "ptflops").macs > size.macs


@pytest.mark.parametrize("share", [0.4, 2.5])
def test_one_per_cent_of_the_products_may_be_missing(share):
    """Of 40,000 multiplications, a function makes about 0.4 or 2.5 per cent."""
    layer, vector = nn.Linear(200, 200, bias=False), torch.zeros(round(400 * share))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x) + torch.dot(vector, vector)

    size = size_of(Net(), torch.zeros(1, 200))
    assert size.products == 40_000 + len(vector)
    assert (size.counter, size.macs) == (("ptflops", 40_000) if share < 1 else ("torch", size.products))


class Broken(nn.Module):
    """Attention that is called with keyword arguments, which ptflops does not run."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(query=x, key=x, value=x)[0]


def test_where_ptflops_fails_nothing_is_printed_and_torch_counts(capsys):
    assert size_of(Broken().eval(), torch.zeros(1, 5, 8)).macs == 4 * 5 * 64 + 2 * 2 * 25 * 4
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("model", EMBEDDED)
def test_ptflops_counts_the_suites_networks_whole_and_pruned(model):
    """However few products are left beside norms and pools: its number is larger by 1 to 40 per cent."""
    network = build(*model)
    structure = anatomy(network, torch.zeros(1, 1, 8, 8))
    for left in (1, 0.5, 0.1):
        kept = {name: torch.arange(max(1, round(left * size))) for name, size in structure.sizes.items()}
        pruned = remove_channels(network, structure, kept)
        size = size_of(pruned, structure.example)
        assert size.counter == "ptflops" and size.products == counting.macs(pruned, structure.example)
        assert 1 < size.macs / size.products < 1.4


@pytest.mark.parametrize(("name", "depth", "size", "_"), ZOO)
def test_ptflops_counts_the_larger_networks(name, depth, size, _):
    found = size_of(built(name, depth, size, 10), torch.zeros(1, 3, size, size))
    assert found.counter == "ptflops" and 1 < found.macs / found.products < 1.02


def test_a_pruned_network_is_counted_by_the_counter_of_its_original():
    net = Function(FUNCTIONS["conv2d"][0])
    assert macs_of(net, IMAGE, "torch") == macs_of(net, IMAGE) == 36 * 4 * 27 + 16 * 5 * 36
    assert macs_of(net, IMAGE, "ptflops") == 36 * 4 * 27
    plain = nn.Conv2d(3, 4, 3)
    assert size_of(plain, IMAGE, "torch").macs == 36 * 4 * 27 and macs_of(plain, IMAGE) == 36 * 4 * 28


def test_a_budget_of_macs_is_met_by_a_network_of_other_layers():
    net = nn.Sequential(
        SameConv(3, 50, 3), nn.ReLU(), SameConv(50, 70, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(70, 10),
    ).eval()  # fmt: skip
    structure = anatomy(net, IMAGE)
    keep = channels_to_keep(PlanSpec(budget="macs"), 0.5, net, structure)
    pruned = remove_channels(net, structure, {name: torch.arange(count) for name, count in keep.items()})
    assert macs_of(pruned, IMAGE) / macs_of(net, IMAGE) == pytest.approx(0.5, abs=0.005)
