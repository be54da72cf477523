"""A layer's inputs and outputs at sampled output positions, as rows of a linear system."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.layer_weights import TRANSPOSED
from nisp.pruning.memory import in_batches

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
    parts = [part for batch, own in zip(batches, seeds, strict=True) for part in _of_batch(model, layers, batch, own)]
    return {
        name: Rows(torch.cat([part[name].inputs for part in parts]), torch.cat([part[name].outputs for part in parts]))
        for name in parts[0]
    }


def _of_batch(model: nn.Module, layers: tuple[str, ...], images: Tensor, seed: int) -> Iterator[dict[str, Rows]]:
    """The rows of one batch, in parts if it does not fit in memory; the positions do not depend on the parts."""
    numbered = images, torch.arange(len(images))
    return in_batches(
        lambda some: _sampled(model, layers, some[0], partial(_positions, seed, len(images), some[1])),
        numbered,
        len(images),
    )


def _positions(seed: int, count: int, mine: Tensor, places: int) -> Tensor:
    """Output positions sampled in images ``mine`` of a batch of ``count``, out of ``places``: shape (n, sampled)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, places, generator=generator).argsort(1)[mine, : min(POSITIONS_PER_IMAGE, places)]


def _sampled(
    model: nn.Module, layers: tuple[str, ...], images: Tensor, positions: Callable[[int], Tensor]
) -> dict[str, Rows]:
    """The rows of some images; ``positions`` draws output positions of each, given how many there are."""
    rows: dict[str, Rows] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            rows[name] = _rows(name, module, inputs[0], output, positions)
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


def _rows(name: str, layer: nn.Module, inputs: Tensor, outputs: Tensor, sampled: Callable[[int], Tensor]) -> Rows:
    if isinstance(layer, nn.Linear):
        return Rows(inputs.flatten(0, -2)[:, :, None], outputs.flatten(0, -2))
    if not isinstance(layer, nn.modules.conv._ConvNd) or layer.groups > 1:
        raise UserError(f"layer {name} is not a plain convolution or linear layer, so it cannot be reconstructed")
    flat = sampled(outputs.shape[2:].numel()).to(inputs.device)
    positions = torch.unravel_index(flat, outputs.shape[2:])  # per dimension: (n, count)
    image = torch.arange(len(inputs), device=inputs.device)[:, None]
    if isinstance(layer, TRANSPOSED):
        taps, read = _taps_transposed(layer, positions, inputs.shape[2:])
    else:
        inputs = _padded(layer, inputs)
        taps, read = _taps(layer, positions), None
    patches = inputs.movedim(1, -1)[image, *taps]  # (*kernel, n, count, in_channels)
    if read is not None:
        patches = patches * read[..., None]
    patches = patches.flatten(0, -4).permute(1, 2, 3, 0)
    written = outputs.movedim(1, -1)[image, *positions]  # (n, count, out_channels)
    return Rows(patches.flatten(0, 1), written.flatten(0, 1))


def _padded(layer: nn.modules.conv._ConvNd, inputs: Tensor) -> Tensor:
    if layer.padding_mode != "zeros":
        return F.pad(inputs, layer._reversed_padding_repeated_twice, layer.padding_mode)
    if isinstance(layer.padding, str):
        return F.pad(inputs, layer._reversed_padding_repeated_twice)
    return F.pad(inputs, [margin for padding in reversed(layer.padding) for margin in (padding, padding)])


def _taps(layer: nn.modules.conv._ConvNd, positions: tuple[Tensor, ...]) -> list[Tensor]:
    """Where, in the padded input, the taps lie that write ``positions``: per dimension, shape (*kernel, n, count)."""
    return [
        place * stride + dilation * tap
        for place, tap, stride, dilation in zip(
            positions, _kernel(layer, positions[0]), layer.stride, layer.dilation, strict=True
        )
    ]


def _taps_transposed(
    layer: nn.modules.conv._ConvNd, positions: tuple[Tensor, ...], sizes: torch.Size
) -> tuple[list[Tensor], Tensor]:
    """Which inputs the taps that write ``positions`` read, per dimension, and if there is one: (*kernel, n, count).

    Input i writes output i * stride - padding + tap * dilation, so most taps read nothing if the stride is above 1.
    """
    taps: list[Tensor] = []
    read = torch.ones((), dtype=torch.bool, device=positions[0].device)
    assert not isinstance(layer.padding, str)  # a transposed convolution takes numbers only
    rules = zip(layer.stride, layer.padding, layer.dilation, sizes, strict=True)
    for place, tap, (stride, padding, dilation, size) in zip(
        positions, _kernel(layer, positions[0]), rules, strict=True
    ):
        reach = place + padding - dilation * tap
        read = read & (reach % stride == 0) & (reach >= 0) & (reach < size * stride)
        taps.append((reach // stride).clamp(0, size - 1))
    return taps, read


def _kernel(layer: nn.modules.conv._ConvNd, like: Tensor) -> list[Tensor]:
    """Numbers of the kernel's taps, per dimension, each of as many dimensions as the kernel and two more."""
    steps = [torch.arange(size, device=like.device) for size in layer.kernel_size]
    return [tap[..., None, None] for tap in torch.meshgrid(*steps, indexing="ij")]
