"""CIFAR-10 and CIFAR-100 through torchvision, which checks the files' checksums before it reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.datasets.utils import check_integrity

from bench.data import Dataset, Split, normalised, split_off
from nisp.errors import UserError

VALIDATION_SHARE = 0.1
"""5,000 of 50,000 training images."""


def load_cifar(name: str, source: Any, directory: Path, seed: int, classes: int) -> Dataset:
    """The data set of torchvision's class ``source``; a validation split is taken from the training images by ``seed``.

    Looked for in ``directory``, in torchvision's layout; downloaded if it is not there.

    UserError that names the file that is missing or broken, and where to get it.
    """
    folder = directory / source.base_folder
    needed = [(folder / file, sum_) for file, sum_ in (*source.train_list, *source.test_list)]
    for path, sum_ in needed:
        if path.exists() and not check_integrity(str(path), sum_):
            raise UserError(f"the data file {path} is truncated or broken: delete {folder} and download it again")
    download = not all(path.exists() for path, _ in needed)
    try:
        train, test = (_split(source(directory, train=part, download=download)) for part in (True, False))
    except (OSError, RuntimeError) as error:
        missing = next((path for path, _ in needed if not path.exists()), folder)
        raise UserError(
            f"{name}: {missing} is missing and could not be downloaded ({' '.join(str(error).split())[:150]}): "
            f"unpack {source.filename} in {directory}"
        ) from None
    train, validation = split_off(train, VALIDATION_SHARE, seed)
    return normalised(name, train, validation, test, classes)


def _split(images: Any) -> Split:
    pixels = torch.from_numpy(np.ascontiguousarray(images.data.transpose(0, 3, 1, 2))).float() / 255
    return Split(pixels, torch.tensor(images.targets))
