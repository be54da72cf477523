"""Multiply-accumulates (MACs) of a network by torch's own counter: convolutions, matrix products, attention."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nisp.pruning.inputs import Inputs, called, checked_inputs, in_precision, part, precision_of
from nisp.pruning.undisturbed import undisturbed
from nisp.pruning.wrappers import unwrapped


@torch.no_grad()
def macs(model: nn.Module, example: Inputs) -> int:
    """Multiply-accumulates per input in eval mode; ``example``: inputs of shape (1, ...).

    Operations are counted, so functional calls and subclasses of layers are included; additions, norms, activations and
    pools are not.
    """
    model = unwrapped(model)
    example = in_precision(part(checked_inputs(example), 0, 1), precision_of(model))
    counter = FlopCounterMode(display=False)
    with undisturbed(model), counter:
        called(model, example)
    return counter.get_total_flops() // 2


def params(model: nn.Module) -> int:
    """Number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())
