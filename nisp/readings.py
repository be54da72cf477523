"""What the layers of a network read, over many images, a batch at a time."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nisp.pruning.contract import Group, channel_axis, evaluating

BATCH = 32
"""Images that are in memory at once: at 224 pixels, few."""


@torch.no_grad()
def readings(
    model: nn.Module, groups: Sequence[Group], images: Tensor, reduce: Callable[[Tensor], Tensor], batch: int = BATCH
) -> dict[str, list[Tensor]]:
    """Reader of any of ``groups`` -> what ``reduce`` makes of each batch of its input; in order of batches.

    ``reduce`` is given a layer's input with channels last, shape (n, ..., channels). A layer that runs several times in
    a forward pass has as many entries a batch. The model is left as it was.
    """
    names = {consumer.name: None for group in groups for consumer in group.consumers}
    read: dict[str, list[Tensor]] = {name: [] for name in names}

    def listen(name: str, axis: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            read[name].append(reduce(inputs[0].movedim(axis, -1)))

        return note

    layers = {name: model.get_submodule(name) for name in names}
    handles = [layer.register_forward_pre_hook(listen(name, channel_axis(layer))) for name, layer in layers.items()]
    try:
        with evaluating(model):
            for some in images.split(batch):
                model(some)
    finally:
        for handle in handles:
            handle.remove()
    return read
