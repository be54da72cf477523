"""A pruned network as two files, from which it is rebuilt without any pruning code.

    <name>.json         how the original is built, and which plain attributes of its modules surgery changed
    <name>.safetensors  all parameters and buffers, with the shapes that surgery left

Nothing is pickled. What surgery changed is found by comparing the pruned network with a freshly built original, so it
makes no difference how the network was pruned (nisp/pruning/rebuilding.py).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from bench.files import replacing, write_json
from bench.suite.fields import Strict
from nisp.errors import UserError
from nisp.pruning.builders import ALLOWED, build
from nisp.pruning.rebuilding import changed_attributes, check_names, named_tensors, set_attributes, set_tensors

VERSION = 1


class Description(Strict):
    """The content of the JSON file.

    version     of this format
    factory     import path of the function that builds the original, "package.module:function"
    arguments   its keyword arguments
    attributes  module name -> attribute name -> value, where it differs from the original's
    sha256      of the weights file, in hexadecimal
    """

    version: Literal[1]
    factory: str
    arguments: dict[str, JsonValue]
    attributes: dict[str, dict[str, JsonValue]]
    sha256: str


def save_pruned(
    path: Path, pruned: nn.Module, factory: str, arguments: Mapping[str, Any], allowed: Sequence[str] = ALLOWED
) -> None:
    """Write ``pruned`` to ``path``.json and ``path``.safetensors (appended to the name).

    ``factory`` and ``arguments`` build the network as it was before pruning (see nisp.pruning.builders.build).

    UserError if they do not, if the arguments cannot be written as JSON, or if ``pruned`` has other modules or tensors.
    """
    try:
        plain: dict[str, JsonValue] = json.loads(json.dumps(arguments))  # as they will be read
    except (TypeError, ValueError) as error:
        raise UserError(f"the arguments of {factory} cannot be written as JSON: {error}") from None
    original = build(factory, plain, allowed)
    attributes = changed_attributes(original, pruned)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named_tensors(pruned)}
    check_names(original, tensors, "the pruned network")
    with replacing(_weights_file(path)) as temporary:
        save_file(tensors, temporary)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    description = Description(version=1, factory=factory, arguments=plain, attributes=attributes, sha256=digest)
    write_json(_description_file(path), description.model_dump())


def load_pruned(path: Path, allowed: Sequence[str] = ALLOWED) -> nn.Module:
    """The network that ``save_pruned`` wrote to ``path``, on the CPU and in eval mode.

    UserError if a file is missing, damaged or does not fit the other, if the version is another, or if the description
    names a factory outside the ``allowed`` packages, or modules, attributes or tensors that the network does not have.
    """
    description = _read_description(_description_file(path))
    tensors = _read_weights(_weights_file(path), description.sha256)
    model = build(description.factory, description.arguments, allowed)
    set_attributes(model, description.attributes, _description_file(path))
    set_tensors(model, tensors, _weights_file(path))
    return model.eval()


def _description_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _weights_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.safetensors")


def _read_description(file: Path) -> Description:
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        raise UserError(f"there is no {file}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as JSON: {error}") from None
    if isinstance(content, dict) and content.get("version", VERSION) != VERSION:
        raise UserError(f"{file} has format version {content['version']!r}, this release reads version {VERSION}")
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "the file"
        raise UserError(f"{file} does not describe a pruned network: {where}: {fault['msg']}") from None


def _read_weights(file: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of a file that is the one described; what is checked is what is read."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"the weights {file} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(
            f"the weights {file} are damaged or belong to another network: their checksum is not the one noted"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise UserError(f"the weights {file} are no safetensors file: {error}") from None
