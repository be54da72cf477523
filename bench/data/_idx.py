"""Data sets in MNIST's IDX files, gzipped or not: found in a directory or a system package, or downloaded."""

import gzip
import math
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from bench.data import Dataset, Split, normalised, split_off
from nisp.errors import UserError

FILES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}
VALIDATION_SHARE = 1 / 12
"""5,000 of 60,000 training images."""


def load_idx(name: str, source: str, directory: Path, seed: int, packages: Iterable[Path] = ()) -> Dataset:
    """The data set called ``name``; a validation split is taken from the training images, fixed by ``seed``.

    Its four files are looked for in ``directory``/``name``, in torchvision's ``directory``/``source``/raw, and in
    ``packages``; if they are in none, torchvision's class ``source`` downloads them into ``directory``.

    UserError that names a file that is missing or broken, and where to get it.
    """
    places = [directory / name, directory / source / "raw", *packages]
    folder = next((place for place in places if _files_in(place)), None)
    if folder is None:
        folder = _downloaded(name, source, directory)
    files = {part: _file(folder, file) for part, file in FILES.items()}
    train, test = (_split(files[part, "images"], files[part, "labels"]) for part in ("train", "test"))
    train, validation = split_off(train, VALIDATION_SHARE, seed)
    return normalised(name, train, validation, test, classes=10)


def _files_in(folder: Path) -> list[Path]:
    return [path for file in FILES.values() if (path := _file(folder, file)).exists()]


def _file(folder: Path, file: str) -> Path:
    packed = folder / f"{file}.gz"
    return packed if packed.exists() else folder / file


def _downloaded(name: str, source: str, directory: Path) -> Path:
    """Folder of the downloaded files. All appear at once or none, because torchvision can leave a partial download."""
    import torchvision  # takes seconds, and most users have the files

    place = directory / source / "raw"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=directory) as unfinished:
            getattr(torchvision.datasets, source)(unfinished, download=True)
            Path(unfinished, source, "raw").replace(place)
    except (OSError, RuntimeError) as error:
        listed = ", ".join(f"{file}.gz" for file in FILES.values())
        raise UserError(
            f"{name} is not in {directory / name} and could not be downloaded ({' '.join(str(error).split())[:150]}): "
            f"put {listed} there"
        ) from None
    return place


def _split(images: Path, labels: Path) -> Split:
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise UserError(f"{images} holds {len(pixels)} images but {labels} holds {len(classes)} labels")
    return Split(torch.from_numpy(pixels).float()[:, None] / 255, torch.from_numpy(classes).long())


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Unsigned bytes of an IDX file with that many dimensions, gzipped if its name ends in .gz.

    UserError if the file is missing, truncated, or not in this format.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"the data file {path} (or {path.name}.gz) is missing: put it next to the others") from None
    except (OSError, EOFError) as error:
        raise UserError(f"the data file {path} is broken ({error}): download it again") from None
    header = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < header:
        raise UserError(f"the data file {path} is not an IDX file of {dimensions} dimensions: download it again")
    shape = np.frombuffer(content, ">u4", dimensions, 4).tolist()
    if len(content) != header + math.prod(shape):
        raise UserError(f"the data file {path} holds {len(content)} bytes, not the {header + math.prod(shape)} of its "
                        f"header: it is truncated or broken, download it again")  # fmt: skip
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
