"""Photographs in JPEG files, decoded when they are asked for, in as many threads as torch may use."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Self, overload

import numpy as np
import torch
from torch import Tensor

from bench.data._crops import central, random_part
from bench.data._photographs import Photograph
from bench.training.prefetching import ahead
from nisp.errors import UserError

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's training images; trained weights expect them."""
CPU = torch.device("cpu")

Crop = Callable[[Photograph], Photograph]
"""Photograph -> photograph of the size that the network sees."""


@dataclass(frozen=True)
class JpegImages:
    """Stands for a normalised float32 tensor (n, 3, image_size, image_size) of the files (bench.data.ImageFiles).

    root   folder of all files
    paths  names below it, shape (n, longest), uint8, padded with zeros
    sizes  bytes of each file, shape (n,), int64

    Decoding a file that is missing, broken, or changed since it was listed raises a UserError that names it.
    """

    root: Path
    paths: Tensor
    sizes: Tensor
    image_size: int
    device: torch.device = CPU

    @classmethod
    def listed(cls, root: Path, paths: Iterable[Path], image_size: int) -> Self:
        """Files below ``root``; UserError that names an empty file or a broken link."""
        names, sizes = [], []
        for file in paths:
            size = file.stat().st_size if file.exists() else 0
            if size == 0:
                raise UserError(f"the image {file} is empty: get it again, or remove it")
            names.append(os.fsencode(file.relative_to(root)))
            sizes.append(size)
        return cls(root, torch.from_numpy(np.array(names)[:, None].view(np.uint8)), torch.tensor(sizes), image_size)

    @property
    def shape(self) -> torch.Size:
        """(n, 3, image_size, image_size)."""
        return torch.Size((len(self), 3, self.image_size, self.image_size))

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, chosen: slice, /) -> Self: ...
    @overload
    def __getitem__(self, chosen: Tensor, /) -> Tensor: ...
    def __getitem__(self, chosen: slice | Tensor, /) -> Self | Tensor:
        """A slice is a view of files; a tensor of indices decodes those images, their middle at the image size."""
        if isinstance(chosen, slice):
            return replace(self, paths=self.paths[chosen], sizes=self.sizes[chosen])
        return self._decoded(chosen, [partial(central, size=self.image_size)] * len(chosen))

    def split(self, size: int, /) -> Iterator[Tensor]:
        """All images in order, ``size`` at a time, the next ones decoded while the current ones are used."""
        return ahead(self[chosen] for chosen in torch.arange(len(self)).split(size))

    def to(self, device: torch.device, /) -> Self:
        """The same files, to be decoded onto ``device``."""
        return replace(self, device=device)

    def resized_crops(self, chosen: Tensor, generator: torch.Generator, mine: slice = slice(None)) -> Tensor:
        """Random parts of the photographs ``chosen``, scaled to the image size (bench.data._crops.random_part)."""
        # Seeds are drawn here, in order, because the order of threads is not fixed.
        seeds = torch.randint(2**63 - 1, (len(chosen),), generator=generator)[mine].tolist()
        return self._decoded(chosen[mine], [partial(random_part, size=self.image_size, seed=seed) for seed in seeds])

    def _decoded(self, chosen: Tensor, crops: list[Crop]) -> Tensor:
        """Crops of photographs as one normalised batch on the device."""

        def pixels(index: int, crop: Crop) -> Tensor:
            name = os.fsdecode(self.paths[index].numpy().tobytes().rstrip(b"\0"))
            return _pixels(self.root / name, int(self.sizes[index]), crop)

        batch = torch.cat(list(_threads(torch.get_num_threads()).map(pixels, chosen.tolist(), crops)))
        if self.device.type == "cuda":  # so that the copy does not keep this thread waiting
            batch = batch.pin_memory()
        mean, std = (torch.tensor(values, device=self.device).reshape(1, 3, 1, 1) for values in (MEAN, STD))
        return (batch.to(self.device, non_blocking=True).float() / 255 - mean) / std


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """One pool for all batches."""
    return ThreadPoolExecutor(count, "decoding")


def _pixels(path: Path, size: int, crop: Crop) -> Tensor:
    """The crop of one photograph, uint8, shape (1, 3, height, width)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"the image {path} cannot be read ({error.strerror}): put it back, or {_LIST_AGAIN}") from None
    if len(content) != size:
        raise UserError(f"the image {path} has {len(content)} bytes, not the {size} that it had when it was listed: "
                        f"put the old one back, or {_LIST_AGAIN}")  # fmt: skip
    try:
        return crop(Photograph.decoded(content)).pixels
    except (OSError, ValueError) as error:
        reason = str(error).partition("<")[0].strip()
        raise UserError(
            f"the image {path} is truncated or not a JPEG ({reason}): get it again, or remove it and {_LIST_AGAIN}"
        ) from None


_LIST_AGAIN = "delete the suite's data/*.safetensors and run again"
