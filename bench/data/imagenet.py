"""ImageNet's 1,000 classes (Russakovsky et al. 2015), or any photographs in folders train/<class> and val/<class>."""

import math
from pathlib import Path

import torch

from bench.data import Dataset, FileSplit
from bench.data._jpeg import JpegImages
from nisp.errors import UserError

VALIDATION_SHARE = 0.02
"""Of each class's training images, rounded up: 26 of 1,300."""
SUFFIXES = (".jpeg", ".jpg")

Labelled = list[tuple[Path, int]]


def load(directory: Path, seed: int, image_size: int = 224) -> Dataset:
    """The photographs below ``directory``/imagenet; a validation split is taken from the training images by ``seed``.

    ``val`` is the test split. Classes are numbered in the order of their folders' names, as torchvision's weights
    expect. Files are listed, not decoded; nothing can be downloaded.

    UserError that names the folder or file that is missing, empty, or without a counterpart.
    """
    root = (directory / "imagenet").resolve()
    found = {part: _classes(root / part) for part in ("train", "val")}
    for one, other in (("train", "val"), ("val", "train")):
        for name in found[one].keys() - found[other].keys():
            raise UserError(f"{root / one / name} has no counterpart {root / other / name}: a class needs both")
    generator = torch.Generator().manual_seed(seed)
    train: Labelled = []
    validation: Labelled = []
    test: Labelled = []
    for label, (name, files) in enumerate(found["train"].items()):
        if len(files) < 2:
            raise UserError(f"{root / 'train' / name} needs at least 2 images, one of them for validation: add some")
        drawn = _shuffled([(file, label) for file in files], generator)
        share = math.ceil(VALIDATION_SHARE * len(files))
        validation += drawn[:share]
        train += drawn[share:]
        test += [(file, label) for file in found["val"][name]]

    def split(images: Labelled) -> FileSplit:
        files = JpegImages.listed(root, [file for file, _ in images], image_size)
        return FileSplit(files, torch.tensor([label for _, label in images]))

    return Dataset("imagenet", split(_shuffled(train, generator)), split(validation), split(test), len(found["train"]))


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Class folder -> its images, both in the order of their names."""
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}: put ImageNet's images into <class>/*.JPEG below {folder.parent}/train and "
            f"{folder.parent}/val (or link the folder that holds both to {folder.parent})"
        )
    classes = {entry.name: _images(entry) for entry in sorted(folder.iterdir()) if entry.is_dir()}
    if not classes:
        raise UserError(f"{folder} has no class folders: sort its images into one folder per class, as in train")
    return classes


def _images(folder: Path) -> list[Path]:
    # Names that begin with a dot are leftovers of macOS, even if they end in .JPEG.
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
    if not files:
        raise UserError(f"the class folder {folder} has no .JPEG files: unpack its images there, or remove the folder")
    return files


def _shuffled(images: Labelled, generator: torch.Generator) -> Labelled:
    return [images[index] for index in torch.randperm(len(images), generator=generator).tolist()]
