"""Augmentations of a whole batch of image tensors, on their device."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def _shifted(images: Tensor, reach: int, generator: torch.Generator) -> Tensor:
    """Every image moved by up to ``reach`` pixels each way, zeros moving in."""
    n, _, height, width = images.shape
    rows, columns = torch.randint(0, 2 * reach + 1, (2, n), generator=generator).to(images.device)
    padded = F.pad(images, (reach, reach, reach, reach))
    y = rows[:, None] + torch.arange(height, device=images.device)
    x = columns[:, None] + torch.arange(width, device=images.device)
    batch = torch.arange(n, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def _flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Every second image or so mirrored left to right."""
    mirror = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(mirror[:, None, None, None], images.flip(3), images)


AUGMENTATIONS: dict[str, Augmentation] = {
    "shift": lambda images, generator: _shifted(images, 1, generator),
    "crop": lambda images, generator: _shifted(images, 4, generator),
    "flip": _flipped,
}
