"""Reads and writes the two files of a saved network, and checks that they are whole and belong together."""

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from nisp.errors import UserError
from nisp.pruning.saving.plain_values import Fault
from nisp.whole_files import replacing

VERSION = 2
DESCRIPTION = "network.json"
WEIGHTS = "weights.safetensors"


def write(folder: Path, description: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write both files; existing ones are replaced when both are complete.

    UserError if they cannot be written, if safetensors is not installed, or if it does not support a dtype.
    """
    safetensors, problem = _safetensors()
    with replacing(folder / DESCRIPTION) as text, replacing(folder / WEIGHTS) as weights:
        try:
            content = safetensors.save(tensors)
        except (problem, KeyError, ValueError) as error:
            raise UserError(f"the weights cannot be written as safetensors: {error}") from None
        weights.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        noted = {"version": VERSION, "sha256": digest, **description}
        text.write_text(json.dumps(noted | {"seal": seal(noted)}, indent=1, allow_nan=False))


def read_description(folder: Path) -> dict[str, Any]:
    """The object in the JSON file, without its seal.

    UserError if the file is missing, damaged or of another version; Fault if the content is not an object.
    """
    file = folder / DESCRIPTION
    try:
        content = json.loads(file.read_text(), parse_constant=_no_number)
    except FileNotFoundError:
        raise UserError(f"there is no {file}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise Fault("it is not an object")
    if content.get("version") != VERSION:
        raise UserError(
            f"{file} has format version {content.get('version')!r}, this release reads version {VERSION}: save it again"
        )
    if content.pop("seal", None) != seal(content):
        raise UserError(f"{file} is damaged or was edited: its checksum does not match")
    return content


def seal(content: Mapping[str, Any]) -> str:
    """SHA-256 of a description, in hexadecimal: without it, a changed digit could change outputs unnoticed."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def read_weights(folder: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors, from the same bytes as are checked; UserError if the file's checksum is not ``sha256``."""
    file = folder / WEIGHTS
    safetensors, problem = _safetensors()
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"the weights {file} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"the weights {file} are damaged or belong to another network: their checksum is not {sha256}")
    try:
        tensors: dict[str, Tensor] = safetensors.load(content)
    except problem as error:
        raise UserError(f"the weights {file} are not a safetensors file: {error}") from None
    return tensors


def _safetensors() -> tuple[Any, type[Exception]]:
    """The module safetensors.torch and its error; imported here because only saving and loading need them."""
    try:
        module = importlib.import_module("safetensors.torch")
        return module, importlib.import_module("safetensors").SafetensorError
    except ImportError:
        raise UserError("saving and loading need the package safetensors: install nisp-bench[saving]") from None


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
