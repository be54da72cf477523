"""Augmentations of a whole batch of image tensors, on their device.

Each draws its random numbers on the CPU, one column per image, and then moves pixels on the images' device. So the
numbers of many batches can be drawn and sent to a GPU at once.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.data import Images
from nisp.errors import UserError

RESIZED_CROP = "resized_crop"
"""A random part of each photograph, scaled to the image size; done while decoding, so before all others."""


class Augmentation(NamedTuple):
    """One augmentation.

    draw   (count, generator) -> random numbers, shape (..., count), for so many images
    apply  (images, their random numbers) -> augmented images
    """

    draw: Callable[[int, torch.Generator], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]


def _shift(reach: int) -> Augmentation:
    """Each image shifted by up to ``reach`` pixels in each direction, padded with zeros."""

    def apply(images: Tensor, drawn: Tensor) -> Tensor:
        n, _, height, width = images.shape
        rows, columns = drawn
        padded = F.pad(images, (reach, reach, reach, reach))
        y = rows[:, None] + torch.arange(height, device=images.device)
        x = columns[:, None] + torch.arange(width, device=images.device)
        batch = torch.arange(n, device=images.device)[:, None, None]
        return padded.permute(0, 2, 3, 1)[batch, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)

    return Augmentation(
        lambda count, generator: torch.randint(0, 2 * reach + 1, (2, count), generator=generator), apply
    )


def _flipped(images: Tensor, mirror: Tensor) -> Tensor:
    return torch.where(mirror[:, None, None, None], images.flip(3), images)


AUGMENTATIONS = {
    "shift": _shift(1),
    "crop": _shift(4),
    "flip": Augmentation(lambda count, generator: torch.rand(count, generator=generator) < 0.5, _flipped),
}
"""``flip`` mirrors each image left to right with probability 1/2."""


def drawn(names: Sequence[str], counts: Sequence[int], generator: torch.Generator) -> dict[str, Tensor]:
    """Random numbers of each augmentation for batches of ``counts`` images, drawn batch by batch: shape (..., images).

    A resized crop draws its own while it decodes.
    """
    batches = [
        {name: AUGMENTATIONS[name].draw(count, generator) for name in names if name != RESIZED_CROP} for count in counts
    ]
    return {name: torch.cat([batch[name] for batch in batches], -1) for name in batches[0]} if batches else {}


def applied(images: Tensor, numbers: dict[str, Tensor]) -> Tensor:
    """The images augmented by each of ``numbers``, in their order; these are on the images' device."""
    for name, of_images in numbers.items():
        images = AUGMENTATIONS[name].apply(images, of_images)
    return images


def check_augmentations(names: Sequence[str]) -> None:
    """UserError for a resized crop, of images that are stored at one size."""
    if RESIZED_CROP in names:
        raise UserError(f"augment: {RESIZED_CROP} needs photographs in files, such as imagenet's: leave it out")


def augmented(
    images: Images, chosen: Tensor, names: Sequence[str], generator: torch.Generator, mine: slice = slice(None)
) -> Tensor:
    """The images at indices ``chosen[mine]``, augmented by each of ``names``.

    Random numbers do not depend on ``mine``, so processes that share a batch make the same images as a single process.

    UserError for a resized crop of images that are stored at one size.
    """
    if isinstance(images, Tensor):
        check_augmentations(names)
    if isinstance(images, Tensor) or RESIZED_CROP not in names:
        batch = images[chosen[mine]]
    else:
        batch = images.resized_crops(chosen, generator, mine)
    numbers = drawn(names, [len(chosen)], generator)
    return applied(batch, {name: values[..., mine].to(batch.device) for name, values in numbers.items()})
