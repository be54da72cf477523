"""Data sets and weights on disk, as safetensors with a checksum over their whole content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.data import Dataset, FileSplit, Split
from bench.data._jpeg import JpegImages
from nisp.errors import UserError
from nisp.pruning.memory import is_out_of_memory
from nisp.whole_files import replacing

Meta = dict[str, str]
PARTS = ("train", "validation", "test")


def save_dataset(path: Path, dataset: Dataset) -> None:
    """Save all splits of a data set in one file; for images in files, the list of files."""
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
    _write(path, tensors, meta)


def load_dataset(path: Path) -> Dataset:
    """The data set that ``save_dataset`` wrote; UserError for a broken file."""
    try:
        tensors, meta = _read(path)
    except _Broken as error:
        raise UserError(f"the data file {path} is broken ({error}): delete it and run again") from None
    train, validation, test = (_split(part, tensors, meta) for part in PARTS)
    return Dataset(meta["name"], train, validation, test, int(meta["classes"]))


def _split(part: str, tensors: Mapping[str, Tensor], meta: Meta) -> Split | FileSplit:
    labels = tensors[f"{part}.labels"]
    if "root" not in meta:
        return Split(tensors[f"{part}.images"], labels)
    root, size = Path(meta["root"]), int(meta["image_size"])
    return FileSplit(JpegImages(root, tensors[f"{part}.paths"], tensors[f"{part}.sizes"], size), labels)


def save_weights(path: Path, model: nn.Module, digest: str) -> None:
    """Save a model's weights with the digest of everything they depend on."""
    _write(path, model.state_dict(), {"digest": digest})


def load_weights(path: Path, model: nn.Module, digest: str) -> bool:
    """Load weights saved under the same digest into ``model``; False if there are none that fit, or they are broken."""
    try:
        tensors, meta = _read(path)
        if meta.get("digest") != digest:
            return False
        model.load_state_dict(tensors)
    except (FileNotFoundError, _Broken):
        return False
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return False
    return True


class _Broken(Exception):
    """A file differs from what was written."""


def _write(path: Path, tensors: Mapping[str, Tensor], meta: Meta) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, {**meta, "sha256": _sum(tensors, meta)})
        except SafetensorError as error:  # raised for a full disk
            raise OSError(str(error)) from None


def _read(path: Path) -> tuple[dict[str, Tensor], Meta]:
    """Tensors and metadata; _Broken if the checksum does not match."""
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _Broken(str(error)) from None
    if meta.pop("sha256", None) != _sum(tensors, meta):
        raise _Broken("its checksum does not match")
    return tensors, meta


def _sum(tensors: Mapping[str, Tensor], meta: Meta) -> str:
    """SHA-256 of the metadata, and of name, type, shape and bytes of all tensors, sorted by name."""
    sha256 = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
