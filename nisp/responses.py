"""The final responses of a network: the inputs of its classifier."""

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.contract import channel_axis

BATCH = 256


@torch.no_grad()
def final_responses(model: nn.Module, images: Tensor, classifier: str | Sequence[str], batch: int = BATCH) -> Tensor:
    """Inputs of the layer called ``classifier``, averaged over positions if there are any, shape (n, features).

    The features of several layers follow one another. The model runs in its current mode.

    UserError if there is no such layer.
    """
    read: dict[str, Tensor] = {}

    def keep(name: str, axis: int) -> Callable[..., None]:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            features = inputs[0].movedim(axis, 1)
            read[name] = features.flatten(2).mean(2) if features.dim() > 2 else features.clone()

        return note

    names = [classifier] if isinstance(classifier, str) else classifier
    layers = dict(model.named_modules())
    for name in names:
        if name not in layers:
            raise UserError(f"'{name}' is not a layer of {type(model).__name__}")
    parts = []
    with contextlib.ExitStack() as stack:
        for name in names:
            layer = layers[name]
            stack.enter_context(layer.register_forward_pre_hook(keep(name, channel_axis(layer))))
        for some in images.split(batch):
            model(some)
            parts.append(torch.cat([read[name] for name in names], 1))
    return torch.cat(parts)
