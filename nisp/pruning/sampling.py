"""A layer's inputs and outputs at sampled output positions, as rows of a linear system."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nisp.errors import UserError

POSITIONS_PER_IMAGE = 5
"""Output positions sampled per map and image."""

BATCH_PIXELS = 2**22
"""Pixels per batch: 83 images of 224 x 224 pixels, or all calibration images if they are small."""


@dataclass(frozen=True)
class Rows:
    """``inputs`` (rows, in_channels, taps) and ``outputs`` (rows, out_channels) of a layer, including its bias."""

    inputs: Tensor
    outputs: Tensor


@torch.no_grad()
def sampled_rows(model: nn.Module, layers: tuple[str, ...], images: Tensor, seed: int) -> dict[str, Rows]:
    """Layer name -> rows of that layer, from a forward pass over ``images`` in batches.

    The same ``seed`` samples the same positions of the same layer in every network of the same resolution. A linear
    layer has one row per image and one tap per feature.

    UserError for a grouped convolution.
    """
    size = max(1, BATCH_PIXELS // images.shape[2:].numel())
    batches = images.split(size)
    seeds = torch.randint(2**62, (len(batches),), generator=torch.Generator().manual_seed(seed)).tolist()
    parts = [_sampled(model, layers, batch, own) for batch, own in zip(batches, seeds, strict=True)]
    return {
        name: Rows(torch.cat([part[name].inputs for part in parts]), torch.cat([part[name].outputs for part in parts]))
        for name in parts[0]
    }


def _sampled(model: nn.Module, layers: tuple[str, ...], images: Tensor, seed: int) -> dict[str, Rows]:
    """The rows of one batch."""
    rows: dict[str, Rows] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            rows[name] = _rows(name, module, inputs[0], output, seed)
            if len(rows) == len(layers):
                raise _Enough

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in layers]
    try:
        with contextlib.suppress(_Enough):
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return rows


class _Enough(Exception):
    """Ends a forward pass that has reached the last layer that is sampled."""


def _rows(name: str, layer: nn.Module, inputs: Tensor, outputs: Tensor, seed: int) -> Rows:
    if isinstance(layer, nn.Linear):
        return Rows(inputs.flatten(0, -2)[:, :, None], outputs.flatten(0, -2))
    if not isinstance(layer, nn.Conv2d) or layer.groups > 1 or isinstance(layer.padding, str):
        raise UserError(f"layer {name} is not a plain convolution or linear layer, so it cannot be reconstructed")
    n, _, height, width = outputs.shape
    count = min(POSITIONS_PER_IMAGE, height * width)
    generator = torch.Generator().manual_seed(seed)
    positions = torch.rand(n, height * width, generator=generator).argsort(1)[:, :count].to(inputs.device)
    y, x = positions // width, positions % width  # (n, count)
    image = torch.arange(n, device=inputs.device)[:, None]
    taps_y, taps_x = (
        step * stride + dilation * torch.arange(kernel, device=inputs.device)[:, None, None]
        for step, stride, dilation, kernel in zip((y, x), layer.stride, layer.dilation, layer.kernel_size, strict=True)
    )  # (kernel, n, count)
    padded = F.pad(inputs, (layer.padding[1],) * 2 + (layer.padding[0],) * 2)
    patches = padded.permute(0, 2, 3, 1)[image, taps_y[:, None], taps_x]  # (kernel, kernel, n, count, in_channels)
    written = outputs.permute(0, 2, 3, 1)[image, y, x]  # (n, count, out_channels)
    return Rows(patches.permute(2, 3, 4, 0, 1).reshape(n * count, layer.in_channels, -1), written.flatten(0, 1))
