"""Multiply-accumulates (MACs) of a network by torch's own counter: convolutions, matrix products, attention."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nisp.pruning.contract import evaluating


@torch.no_grad()
def macs(model: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates per input in eval mode; ``example`` has shape (1, ...).

    Operations are counted, so functional calls and subclasses of layers are included; additions, norms, activations and
    pools are not.
    """
    counter = FlopCounterMode(display=False)
    with evaluating(model), counter:
        model(example[:1])
    return counter.get_total_flops() // 2


def params(model: nn.Module) -> int:
    """Number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())
