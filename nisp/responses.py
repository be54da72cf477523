"""The final responses of a network: what its classifier reads."""

import torch
from torch import Tensor, nn

BATCH = 256


@torch.no_grad()
def final_responses(model: nn.Module, images: Tensor, classifier: str) -> Tensor:
    """Inputs of the linear layer called ``classifier``, shape (n, features); the model runs in its present mode."""
    seen: list[Tensor] = []
    layer = model.get_submodule(classifier)
    with layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach())):
        for batch in images.split(BATCH):
            model(batch)
    return torch.cat(seen)
