"""What a layer reads and writes, as rows of a linear system, at sampled output positions."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import UserError

POSITIONS_PER_IMAGE = 5
"""Output positions of a map that are sampled in each image."""


@dataclass(frozen=True)
class Rows:
    """``inputs`` (rows, in_channels, taps) and ``outputs`` (rows, out_channels) of a layer, its bias included."""

    inputs: Tensor
    outputs: Tensor


@torch.no_grad()
def sampled_rows(model: nn.Module, layers: tuple[str, ...], images: Tensor, seed: int) -> dict[str, Rows]:
    """Layer name -> rows of that layer from one forward pass over ``images``.

    The same ``seed`` samples the same positions of the same layer in every network of the same resolution. A linear
    layer has one row an image and one tap a feature.

    UserError for a grouped convolution.
    """
    rows: dict[str, Rows] = {}

    def keep(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            rows[name] = _rows(name, module, inputs[0], output, seed)

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    model(images)
    for handle in handles:
        handle.remove()
    return rows


def _rows(name: str, layer: nn.Module, inputs: Tensor, outputs: Tensor, seed: int) -> Rows:
    if isinstance(layer, nn.Linear):
        return Rows(inputs.flatten(0, -2)[:, :, None], outputs.flatten(0, -2))
    if not isinstance(layer, nn.Conv2d) or layer.groups > 1:
        raise UserError(f"layer {name} is no plain convolution or linear layer, so it cannot be reconstructed")
    n, _, height, width = outputs.shape
    count = min(POSITIONS_PER_IMAGE, height * width)
    generator = torch.Generator().manual_seed(seed)
    positions = torch.rand(n, height * width, generator=generator).argsort(1)[:, :count].to(inputs.device)
    patches = F.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # (n, c * taps, h * w)
    chosen = patches.gather(2, positions[:, None].expand(-1, patches.shape[1], -1)).transpose(1, 2)
    written = outputs.flatten(2).gather(2, positions[:, None].expand(-1, outputs.shape[1], -1)).transpose(1, 2)
    return Rows(chosen.reshape(n * count, layer.in_channels, -1), written.reshape(n * count, -1))
