"""Data sets, one file each: a module with ``load(directory, seed) -> Dataset``, named in suites by its file name.

A data set that comes in any resolution has a third parameter, ``image_size``, with a default; a suite may set it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol, Self, overload

import torch
from torch import Tensor


class Split(NamedTuple):
    """Images, float32 of shape (n, channels, height, width), and their classes, int64 of shape (n,)."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Split":
        """The same split on ``device``."""
        return Split(self.images.to(device), self.labels.to(device))


class ImageFiles(Protocol):
    """Images that stay in files, used like a float32 tensor of shape (n, channels, height, width).

    A slice is still a view of files; a tensor of indices decodes those images.
    """

    @property
    def shape(self) -> torch.Size:
        """Shape of the tensor of all images."""

    @property
    def device(self) -> torch.device:
        """Where decoded images are put."""

    def __len__(self) -> int:
        """Number of images."""

    @overload
    def __getitem__(self, chosen: slice, /) -> Self: ...

    @overload
    def __getitem__(self, chosen: Tensor, /) -> Tensor: ...

    def split(self, size: int, /) -> Iterator[Tensor]:
        """All images in order, decoded, ``size`` at a time."""

    def to(self, device: torch.device, /) -> Self:
        """The same files, to be decoded onto ``device``."""

    def resized_crops(self, chosen: Tensor, generator: torch.Generator, mine: slice = slice(None)) -> Tensor:
        """The images at ``chosen[mine]``, each a random part of its photograph.

        Random numbers are drawn for all of ``chosen``.
        """


Images = Tensor | ImageFiles


class FileSplit(NamedTuple):
    """A split too large for memory: images in files, and their classes, int64 of shape (n,)."""

    images: ImageFiles
    labels: Tensor

    def to(self, device: torch.device) -> "FileSplit":
        """The same split, decoded onto ``device``."""
        return FileSplit(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits, normalised by the mean and standard deviation of training images.

    Training images, in random order, are for training, calibration and scoring; validation images for choices; test
    images for reporting only.
    """

    name: str
    train: Split | FileSplit
    validation: Split | FileSplit
    test: Split | FileSplit
    classes: int

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return int(self.train.images.shape[1])

    @property
    def image_size(self) -> int:
        """Height of an image in pixels."""
        return int(self.train.images.shape[2])

    @property
    def example(self) -> Tensor:
        """One image, shape (1, channels, height, width)."""
        return self.train.images[torch.tensor([0])]

    def calibration(self, count: int, seed: int) -> Split:
        """``count`` training images (at most all of them), drawn by ``seed``: the same for every method."""
        chosen = torch.randperm(len(self.train.labels), generator=torch.Generator().manual_seed(seed))[:count]
        return Split(self.train.images[chosen], self.train.labels[chosen])

    def to(self, device: torch.device) -> "Dataset":
        """The same data set with all tensors on ``device``, including decoded images."""
        parts = (self.train, self.validation, self.test)
        train, validation, test = (part.to(device) for part in parts)
        return replace(self, train=train, validation=validation, test=test)


class Load(Protocol):
    """The signature of a data set's ``load``: ``directory`` holds downloaded files, ``seed`` fixes the split."""

    def __call__(self, directory: Path, seed: int) -> Dataset:
        """The data set; UserError that names a file that is missing or broken."""


def split_off(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """``split`` without a random ``share`` of its images, and that share; fixed by ``seed``."""
    order = torch.randperm(len(split.labels), generator=torch.Generator().manual_seed(seed))
    rest, taken = order.tensor_split([len(order) - round(share * len(order))])
    return Split(split.images[rest], split.labels[rest]), Split(split.images[taken], split.labels[taken])


def normalised(name: str, train: Split, validation: Split, test: Split, classes: int) -> Dataset:
    """A Dataset whose images are shifted and scaled per channel by the training split's statistics."""
    mean = train.images.mean((0, 2, 3), keepdim=True)
    std = train.images.std((0, 2, 3), keepdim=True)
    train, validation, test = (Split((split.images - mean) / std, split.labels) for split in (train, validation, test))
    return Dataset(name, train, validation, test, classes)
