"""Multiplications of convolution and linear layers: what the pruning literature before 2019 calls FLOPs.

ptflops also counts biases, batch norms, activations and pools. These shrink linearly with the channels left, a
convolution almost quadratically, so ptflops reports reductions up to 0.2 points smaller.
"""

import torch
from torch import Tensor, nn

from nisp.pruning.contract import evaluating
from nisp.pruning.inputs import Inputs, called, part
from nisp.pruning.layer_weights import LAYERS, TRANSPOSED


@torch.no_grad()
def multiplications(model: nn.Module, example: Inputs) -> dict[str, int]:
    """Layer name -> multiplications per image; ``example`` is one image, shape (1, ...).

    An output value of a convolution or linear layer takes one multiplication per weight of its output channel; in a
    transposed convolution, an input value takes one per weight of its input channel. A layer that runs twice counts
    twice; one that does not run in eval mode is absent.
    """
    counts: dict[str, int] = {}

    def count(name: str, layer: nn.Module, input: Tensor, output: Tensor) -> None:
        values = input if isinstance(layer, TRANSPOSED) else output
        assert isinstance(layer.weight, Tensor)
        counts[name] = counts.get(name, 0) + values.numel() * layer.weight[0].numel()

    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, LAYERS)]
    handles = [
        layer.register_forward_hook(lambda module, inputs, output, name=name: count(name, module, inputs[0], output))
        for name, layer in layers
    ]
    try:
        with evaluating(model):
            called(model, part(example, 0, 1))
    finally:
        for handle in handles:
            handle.remove()
    return counts
