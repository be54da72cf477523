"""Augmentations of a whole batch of image tensors, on their device."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data import Images
from nisp.errors import UserError

RESIZED_CROP = "resized_crop"
"""A random part of each photograph, scaled to the image size; done while decoding, so before all others."""
Augmentation = Callable[[Tensor, torch.Generator, int, slice], Tensor]
"""(images at ``mine`` of a batch of ``count``, generator, count, mine) -> augmented images.

Random numbers are drawn for the whole batch."""


def _shifted(images: Tensor, reach: int, generator: torch.Generator, count: int, mine: slice) -> Tensor:
    """Each image shifted by up to ``reach`` pixels in each direction, padded with zeros."""
    n, _, height, width = images.shape
    rows, columns = torch.randint(0, 2 * reach + 1, (2, count), generator=generator)[:, mine].to(images.device)
    padded = F.pad(images, (reach, reach, reach, reach))
    y = rows[:, None] + torch.arange(height, device=images.device)
    x = columns[:, None] + torch.arange(width, device=images.device)
    batch = torch.arange(n, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def _flipped(images: Tensor, generator: torch.Generator, count: int, mine: slice) -> Tensor:
    """Each image mirrored left to right with probability 1/2."""
    mirror = (torch.rand(count, generator=generator) < 0.5)[mine].to(images.device)
    return torch.where(mirror[:, None, None, None], images.flip(3), images)


AUGMENTATIONS: dict[str, Augmentation] = {
    "shift": lambda images, *drawn: _shifted(images, 1, *drawn),
    "crop": lambda images, *drawn: _shifted(images, 4, *drawn),
    "flip": _flipped,
}


def augmented(
    images: Images, chosen: Tensor, names: Sequence[str], generator: torch.Generator, mine: slice = slice(None)
) -> Tensor:
    """The images at indices ``chosen[mine]``, augmented by each of ``names``.

    Random numbers do not depend on ``mine``, so processes that share a batch make the same images as a single process.

    UserError for a resized crop of images that are stored at one size.
    """
    if RESIZED_CROP not in names:
        batch = images[chosen[mine]]
    elif isinstance(images, Tensor):
        raise UserError(f"augment: {RESIZED_CROP} needs photographs in files, such as imagenet's: leave it out")
    else:
        batch = images.resized_crops(chosen, generator, mine)
    for name in names:
        if name != RESIZED_CROP:
            batch = AUGMENTATIONS[name](batch, generator, len(chosen), mine)
    return batch
