"""Augmentations of a whole batch of image tensors, on their device."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data import Images
from nisp.errors import UserError

RESIZED_CROP = "resized_crop"
"""A random part of each photograph, scaled to the image size; drawn while it is decoded, so the others follow it."""
Augmentation = Callable[[Tensor, torch.Generator, int, slice], Tensor]
"""(images, generator, count, mine): the images at ``mine`` of a batch of ``count``; for all of these is drawn."""


def _shifted(images: Tensor, reach: int, generator: torch.Generator, count: int, mine: slice) -> Tensor:
    """Every image moved by up to ``reach`` pixels each way, zeros moving in."""
    n, _, height, width = images.shape
    rows, columns = torch.randint(0, 2 * reach + 1, (2, count), generator=generator)[:, mine].to(images.device)
    padded = F.pad(images, (reach, reach, reach, reach))
    y = rows[:, None] + torch.arange(height, device=images.device)
    x = columns[:, None] + torch.arange(width, device=images.device)
    batch = torch.arange(n, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def _flipped(images: Tensor, generator: torch.Generator, count: int, mine: slice) -> Tensor:
    """Every second image or so mirrored left to right."""
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
    """The images of the indices ``chosen``, augmented by each of ``names``; of them, those at ``mine``.

    What is drawn for an image does not depend on ``mine``, so that processes that share a batch make what one would.

    UserError where a resized crop is asked of images that are stored at one size.
    """
    if RESIZED_CROP not in names:
        batch = images[chosen[mine]]
    elif isinstance(images, Tensor):
        raise UserError(f"augment: {RESIZED_CROP} needs photographs in files, as imagenet's: leave it out")
    else:
        batch = images.resized_crops(chosen, generator, mine)
    for name in names:
        if name != RESIZED_CROP:
            batch = AUGMENTATIONS[name](batch, generator, len(chosen), mine)
    return batch
