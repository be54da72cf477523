"""The inputs of a network's layers over many images, reduced batch by batch."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from nisp.pruning.contract import Group, channel_axis, evaluating
from nisp.pruning.inputs import Inputs, called
from nisp.pruning.memory import in_batches

T = TypeVar("T")

BATCH = 32
"""Images in memory at once; small, because of images of 224 pixels."""


@torch.no_grad()
def layer_inputs(
    model: nn.Module, groups: Sequence[Group], images: Inputs, reduce: Callable[[Tensor], T], batch: int = BATCH
) -> dict[str, list[T]]:
    """Consumer of any of ``groups`` -> ``reduce`` of its input, one entry per batch, in order.

    ``reduce`` gets a layer's input with channels last, shape (n, ..., channels). A layer that runs several times in a
    forward pass has that many entries per batch. A batch that does not fit in memory is halved. The model is not
    changed.
    """
    names = {consumer.name: None for group in groups for consumer in group.consumers}
    read: dict[str, list[T]] = {}
    found: dict[str, list[T]] = {name: [] for name in names}

    def listen(name: str, axis: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            read.setdefault(name, []).append(reduce(inputs[0].movedim(axis, -1)))

        return note

    def run(some: Inputs) -> None:
        read.clear()
        called(model, some)

    layers = {name: model.get_submodule(name) for name in names}
    handles = [layer.register_forward_pre_hook(listen(name, channel_axis(layer))) for name, layer in layers.items()]
    try:
        with evaluating(model):
            for _ in in_batches(run, images, batch):
                for name, values in read.items():
                    found[name] += values
    finally:
        for handle in handles:
            handle.remove()
    return found
