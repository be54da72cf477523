"""Data sets and weights on disk, as safetensors."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from bench.data import Dataset, Split
from bench.errors import UserError
from bench.files import replacing


def save_dataset(path: Path, dataset: Dataset) -> None:
    """All splits of a data set as one safetensors file."""
    tensors = {
        f"{part}.{field}": tensor.contiguous()
        for part in ("train", "validation", "test")
        for field, tensor in getattr(dataset, part)._asdict().items()
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"name": dataset.name, "classes": str(dataset.classes)})


def load_dataset(path: Path) -> Dataset:
    """The data set that ``save_dataset`` wrote; UserError for a broken file."""
    try:
        return _loaded(path)
    except SafetensorError as error:
        raise UserError(f"the data file {path} is broken ({error}): delete it and run again") from None


def _loaded(path: Path) -> Dataset:
    with safe_open(path, "pt") as file:
        meta = file.metadata()
        train, validation, test = (
            Split(file.get_tensor(f"{part}.images"), file.get_tensor(f"{part}.labels"))
            for part in ("train", "validation", "test")
        )
    return Dataset(meta["name"], train, validation, test, int(meta["classes"]))


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


def device() -> torch.device:
    """The first visible CUDA device, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
