"""MACs by operation: what layer-wise counters miss is in."""

import torch
import torch.nn.functional as F
from torch import nn

from nisp.pruning.counting import macs, params


class Functional(nn.Module):
    """A convolution called as a function, a product of activations, and dropout that runs in training only."""

    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(4, 3, 3, 3))
        self.tied = self.kernel

    def forward(self, x):
        assert not self.training
        x = F.conv2d(x, self.kernel).flatten(2)
        return x @ x.transpose(1, 2)


def test_macs_are_those_of_one_input_in_eval_mode_and_parameters_count_once():
    net = Functional().train()
    assert macs(net, torch.zeros(5, 3, 6, 6)) == 4 * 27 * 16 + 4 * 16 * 4
    assert net.training
    assert params(net) == 108
