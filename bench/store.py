"""Where a suite's intermediate results lie, and what makes one of them still valid.

Each is a file that carries the digest of all it depends on. A file with another digest, or a broken one, counts
as missing and is made anew; so a killed job, started again, does only what is left.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from bench.data import Dataset, Split
from bench.files import read_json_if_valid, replacing, write_json
from bench.suite import Run
from bench.training import Epoch


@dataclass(frozen=True)
class Store:
    """The directory results/<suite>."""

    root: Path

    def data(self, dataset: str) -> Path:
        """A data set's splits."""
        return self.root / "data" / f"{dataset}.safetensors"

    def base(self, dataset: str, label: str, seed: int) -> Path:
        """Weights of a base network."""
        return self.root / "bases" / dataset / label / f"{seed}.safetensors"

    def record_of(self, run: Run) -> Path:
        """What was measured of one run."""
        cell = (run.dataset, run.model.label, str(run.seed), run.method, f"{run.ratio:g}.json")
        return self.root.joinpath("records", *cell)


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
    """The data set that ``save_dataset`` wrote."""
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


def save_record(path: Path, digest: str, row: dict[str, Any], curve: list[Epoch]) -> None:
    """One run's measured columns and its learning curve."""
    write_json(path, {"digest": digest, "row": row, "curve": [asdict(epoch) for epoch in curve]})


def load_record(path: Path, digest: str) -> dict[str, Any] | None:
    """The record saved under the same digest, or None."""
    content = read_json_if_valid(path)
    return content if isinstance(content, dict) and content.get("digest") == digest else None


def device() -> torch.device:
    """The first visible CUDA device, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
