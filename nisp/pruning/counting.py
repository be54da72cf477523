"""Multiply-accumulates of a network, as torch's own counter finds them: convolutions, matrix products, attention."""

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nisp.pruning.contract import evaluating


@torch.no_grad()
def macs(model: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of one input in eval mode; ``example`` has shape (1, ...).

    Counted by operation, so functional calls and subclasses of layers are in; additions, norms, activations and pools
    are not.
    """
    counter = FlopCounterMode(display=False)
    with evaluating(model), counter:
        model(example[:1])
    return counter.get_total_flops() // 2


def params(model: nn.Module) -> int:
    """Number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())
