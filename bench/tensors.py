"""Data sets and weights on disk, as safetensors."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.data import Dataset, FileSplit, Split
from bench.data._jpeg import JpegImages
from bench.errors import UserError
from bench.files import replacing

PARTS = ("train", "validation", "test")


def save_dataset(path: Path, dataset: Dataset) -> None:
    """All splits of a data set as one safetensors file; of images in files, their list and its checksum."""
    splits: dict[str, Split | FileSplit] = {part: getattr(dataset, part) for part in PARTS}
    meta = {"name": dataset.name, "classes": str(dataset.classes)}
    tensors = {f"{part}.labels": split.labels for part, split in splits.items()}
    for part, split in splits.items():
        if isinstance(split.images, JpegImages):
            meta |= {"root": str(split.images.root), "image_size": str(split.images.image_size)}
            tensors |= {f"{part}.paths": split.images.paths, f"{part}.sizes": split.images.sizes}
        else:
            assert isinstance(split.images, Tensor)
            tensors[f"{part}.images"] = split.images
    if "root" in meta:
        meta["sha256"] = _sum(tensors)
    with replacing(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, meta)


def load_dataset(path: Path) -> Dataset:
    """The data set that ``save_dataset`` wrote; UserError for a broken file."""
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"the data file {path} is broken ({error}): delete it and run again") from None
    if "root" in meta and _sum(tensors) != meta["sha256"]:
        raise UserError(f"the data file {path} is broken (its checksum is another): delete it and run again")
    train, validation, test = (_split(part, tensors, meta) for part in PARTS)
    return Dataset(meta["name"], train, validation, test, int(meta["classes"]))


def _split(part: str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Split | FileSplit:
    labels = tensors[f"{part}.labels"]
    if "root" not in meta:
        return Split(tensors[f"{part}.images"], labels)
    root, size = Path(meta["root"]), int(meta["image_size"])
    return FileSplit(JpegImages(root, tensors[f"{part}.paths"], tensors[f"{part}.sizes"], size), labels)


def _sum(tensors: Mapping[str, Tensor]) -> str:
    """Of the names and bytes of all tensors, in the order of their names."""
    sha256 = hashlib.sha256()
    for name in sorted(tensors):
        sha256.update(name.encode())
        sha256.update(tensors[name].contiguous().numpy().data)
    return sha256.hexdigest()


def save_weights(path: Path, model: nn.Module, digest: str) -> None:
    """A model's weights as safetensors."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"digest": digest})


def load_weights(path: Path, model: nn.Module, digest: str) -> bool:
    """Load weights saved under the same digest into ``model``; False where there are none."""
    try:
        with safe_open(path, "pt") as file:
            if file.metadata().get("digest") != digest:
                return False
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (FileNotFoundError, SafetensorError, RuntimeError):
        return False
    return True
