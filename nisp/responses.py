"""The final responses of a network: what its classifier reads."""

import torch
from torch import Tensor, nn

from nisp.network import channel_axis

BATCH = 256


@torch.no_grad()
def final_responses(model: nn.Module, images: Tensor, classifier: str, batch: int = BATCH) -> Tensor:
    """Inputs of the layer called ``classifier``, averaged over positions if it has any, shape (n, features).

    The model runs in its present mode.
    """
    seen: list[Tensor] = []
    layer = model.get_submodule(classifier)
    axis = channel_axis(layer)

    def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features = inputs[0].movedim(axis, 1)
        seen.append(features.flatten(2).mean(2) if features.dim() > 2 else features.clone())

    with layer.register_forward_pre_hook(keep):
        for part in images.split(batch):
            model(part)
    return torch.cat(seen)
