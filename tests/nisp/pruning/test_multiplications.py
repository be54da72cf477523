import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode

from bench.runs.size import size_of
from bench.suite import plugins
from nisp.pruning.counting import macs
from nisp.pruning.multiplications import multiplications

ZOO = [("caffenet", None, 227), ("googlenet_caffe", None, 224), ("resnet_imagenet", 50, 224), ("resnet", 56, 32)]


def test_by_hand():
    """A 3x3 convolution in two groups from 4 to 6 channels on 6x6 outputs, then 216 to 3 linear."""
    net = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(216, 3)).train()
    assert multiplications(net, torch.zeros(1, 4, 8, 8)) == {"0": 36 * 6 * 2 * 9, "2": 216 * 3}
    assert net.training and not net[0]._forward_hooks


@pytest.mark.parametrize(("name", "depth", "size"), ZOO)
def test_it_agrees_with_torchs_counter_and_nearly_with_ptflops(name, depth, size):
    """ptflops adds what biases, batch norms, activations and pools cost: about 1 %."""
    model = plugins.load(plugins.MODELS, name).build(depth, 3, size, 10).eval()
    example = torch.zeros(1, 3, size, size)
    total = sum(multiplications(model, example).values())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(example)
    assert total == counter.get_total_flops() / 2  # torch counts a multiplication and an addition
    assert total <= size_of(model, example).macs <= 1.02 * total


class Twice(nn.Module):
    """A layer that runs twice, one that runs in training only, and one that never does."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Linear(4, 4)
        self.auxiliary = nn.Linear(4, 2)
        self.unused = nn.Linear(4, 3)

    def forward(self, x):
        x = self.shared(self.shared(x))
        return self.auxiliary(x) if self.training else x


def test_a_layer_counts_as_often_as_it_runs_in_eval_mode_for_one_image():
    net = Twice().train()
    assert multiplications(net, torch.zeros(3, 4)) == {"shared": 2 * 16}
    assert net.training and not any(layer._forward_hooks for layer in net.children())


def test_nothing_is_left_behind_where_the_network_fails():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 2)).train()
    with pytest.raises(RuntimeError):
        multiplications(net, torch.zeros(1, 4))
    assert net.training and not any(layer._forward_hooks for layer in net)


class Others(nn.Module):
    """A layer that is called as a function, one that computes its weight, a bare parameter, and a product of none."""

    def __init__(self):
        super().__init__()
        self.called, self.computed = nn.Conv1d(3, 4, 3, bias=False), weight_norm(nn.Conv1d(4, 5, 1))
        self.up = nn.ConvTranspose1d(5, 6, 2, stride=2)
        self.mixing = nn.Parameter(torch.ones(7, 6))

    def forward(self, x):
        x = F.conv1d(x, self.called.weight)
        x = self.mixing @ self.up(self.computed(x))
        return x @ x.transpose(1, 2)


def test_products_belong_to_the_weight_that_they_read_else_to_the_layer_that_runs_else_to_none():
    net, example = Others(), torch.zeros(1, 3, 8)
    by_hand = {"called": 6 * 4 * 9, "computed": 6 * 5 * 4, "up": 6 * 5 * 12, "mixing": 12 * 7 * 6, "": 7 * 7 * 12}
    assert multiplications(net, example) == by_hand
    assert macs(net, example) == sum(by_hand.values())


def test_attention_and_recurrent_layers_are_taken_apart():
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    net = nn.Sequential(Itself(attention), nn.LSTM(8, 6, batch_first=True)).eval()
    assert multiplications(net, torch.zeros(1, 5, 8)) == {
        "0.attention.in_proj_weight": 5 * 8 * 24, "0.attention.out_proj": 5 * 64, "": 2 * 2 * 25 * 4,
        "1.weight_ih_l0": 5 * 24 * (8 + 6),
    }  # fmt: skip


class Itself(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        return self.attention(x, x, x)[0]
