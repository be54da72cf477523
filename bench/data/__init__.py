"""Data sets, one file each: a module with ``load(directory, seed) -> Dataset``, named in suites by its file name."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Split(NamedTuple):
    """Images, float32 of shape (n, channels, height, width), and their classes, int64 of shape (n,)."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits, normalised by the training split's mean and standard deviation.

    Training images train, calibrate and score; validation images decide; test images are only reported on.
    """

    name: str
    train: Split
    validation: Split
    test: Split
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
        return self.train.images[:1]

    def calibration(self, count: int, seed: int) -> Split:
        """``count`` training images (at most all of them), drawn by ``seed``: the same for every method."""
        chosen = torch.randperm(len(self.train.labels), generator=torch.Generator().manual_seed(seed))[:count]
        return Split(self.train.images[chosen], self.train.labels[chosen])

    def to(self, device: torch.device) -> "Dataset":
        """The same data set with all tensors on ``device``."""
        train, validation, test = (
            Split(part.images.to(device), part.labels.to(device)) for part in (self.train, self.validation, self.test)
        )
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
