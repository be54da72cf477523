"""The record of one network, written after every step, so that a step that never ends is recorded too."""

import contextlib
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bench.files import read_json_if_valid, write_json

ROOT = Path(__file__).parents[2]
PACKAGES = ("bench", "benchmarks", "nisp", "torch", "torchvision", "timm", "torch_pruning")


class Failed(Exception):
    """A step failed; the record says which."""


class Record:
    """The record of one network, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.row: dict[str, Any] = {"failure": ""}

    def update(self, **values: Any) -> None:
        """Record values of columns."""
        self.row |= values
        self._write(finished=False)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A step; if it fails, ``failure`` says so as "step: exception: sentence", and Failed is raised."""
        self.update(stage=name)
        try:
            yield
        except Exception as error:
            self.row["failure"] = joined(self.row["failure"], f"{name}: {sentence(error)}")
            raise Failed from error

    def finish(self) -> None:
        """Mark the record as finished."""
        self.row.pop("stage", None)
        self._write(finished=True)

    def _write(self, finished: bool) -> None:
        write_json(self.path, {"finished": finished, "row": self.row, "code": loaded_code()})


def joined(first: str, second: str) -> str:
    """Two failures as one text."""
    return f"{first}; {second}" if first else second


def sentence(error: BaseException) -> str:
    """The exception's kind and its text on one line, without what differs from run to run."""
    text = " ".join(str(error).split())
    text = re.sub(r"0x[0-9a-f]+", "0x...", text)
    return f"{type(error).__name__}: {text[:200]}".removesuffix(": ")


def loaded_code() -> dict[str, str]:
    """Digests of all project files that this process has imported, and versions of the libraries involved."""
    code = {"torch": torch.__version__}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name in ("timm", "torchvision", "torch_pruning"):
            code[name] = getattr(module, "__version__", "")
        if file and Path(file).is_relative_to(ROOT) and ".venv" not in Path(file).parts:
            code[str(Path(file).relative_to(ROOT))] = digest(Path(file))
    return code


def digest(file: Path) -> str:
    """Digest of a file's content; empty if there is no file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


def finished(path: Path, any_code: bool = False, seconds: float = 0) -> dict[str, Any] | None:
    """The row of a finished record made by the current code (or any code); None if there is none.

    seconds: the time that it would have now; a record that ran out of less is not finished.
    """
    content = read_json_if_valid(path)
    if not isinstance(content, dict) or not content.get("finished"):
        return None
    if content.get("ran_out_of") is not None and content["ran_out_of"] < seconds:
        return None
    stale = [name for name, made in content["code"].items() if name.endswith(".py") and digest(ROOT / name) != made]
    return None if stale and not any_code else content["row"]
