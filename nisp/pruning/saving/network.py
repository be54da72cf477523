"""A pruned network as two files in a folder, loaded again without pruning code.

    network.json         the structure of the network (structure.py); or the function that builds its original, and the
                         plain attributes that pruning changed (changes.py)
    weights.safetensors  all parameters and buffers

Nothing is pickled.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.saving import stored_files
from nisp.pruning.saving.builders import build
from nisp.pruning.saving.changes import changed_attributes, check_names, named_tensors, set_attributes, set_tensors
from nisp.pruning.saving.import_paths import ALLOWED
from nisp.pruning.saving.layer_shapes import check_shapes
from nisp.pruning.saving.plain_values import Fault
from nisp.pruning.saving.rebuilding import check_fields, rebuild
from nisp.pruning.saving.structure import describe

NUMBERS = ("macs", "macs_before", "params", "params_before", "removal_error")
"""Attributes of a pruning result that the description repeats, for people to read."""
HEAD = {"version": int, "sha256": str, "numbers": dict}
STRUCTURE = HEAD | {"modules": list, "tensors": dict}
ORIGIN = HEAD | {"factory": str, "arguments": dict, "attributes": dict}


def save(
    pruned: Any,
    folder: str | Path,
    factory: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    allowed: Sequence[str] = (),
) -> None:
    """Write a network to ``folder``/network.json and ``folder``/weights.safetensors, replacing existing files.

    pruned     the network, or an object that has it as ``.model``, such as nisp.Pruned
    factory    only for networks whose structure is not plain data: import path of the function that builds the network
               as it was before pruning, such as "torchvision.models:resnet18"
    arguments  keyword arguments of ``factory``
    allowed    packages of the network's code, besides ALLOWED, from which ``load`` may import; only needed if the
               program that loads has not imported them (nisp.pruning.saving.import_paths)

    UserError if a module or attribute of the network cannot be described (the error names it), if ``factory`` does not
    build the original of ``pruned``, or if the files cannot be written.
    """
    model = pruned if isinstance(pruned, nn.Module) else getattr(pruned, "model", None)
    if not isinstance(model, nn.Module):
        kind = type(pruned).__name__
        raise UserError(f"only a network can be saved, or an object with one as .model; this has the type {kind}")
    if factory is None and arguments is not None:
        raise UserError("arguments= needs factory=, the import path of the function that takes them")
    allowed = _with_defaults(allowed)
    described, tensors = describe(model, allowed) if factory is None else _origin(model, factory, arguments, allowed)
    stored_files.write(Path(folder), {"numbers": {} if pruned is model else _numbers(pruned)} | described, tensors)


def load(folder: str | Path, allowed: Sequence[str] = ()) -> nn.Module:
    """Load the network that ``save`` wrote to ``folder``, on the CPU and in eval mode.

    Its classes must be in an ``allowed`` package or one of ALLOWED, or be imported already (import_paths.py).

    UserError if a file is missing, damaged or does not fit the other, if the format has another version, or if the
    description names code that is not allowed or does not exist.

    >>> import tempfile, torch, nisp
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
    >>> images = torch.randn(20, 3, 8, 8)
    >>> pruned = nisp.prune(model, images, ratio=0.5)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     nisp.save(pruned, folder)
    ...     same = nisp.load(folder)
    >>> same[0].out_channels, torch.equal(same(images), pruned.model(images))
    (4, True)
    """
    folder, allowed = Path(folder), _with_defaults(allowed)
    file = folder / stored_files.DESCRIPTION
    try:
        content = stored_files.read_description(folder)
        check_fields(content, ORIGIN if "factory" in content else STRUCTURE, "it")
        tensors = stored_files.read_weights(folder, content["sha256"])
        if "factory" in content:
            return _from_origin(content, tensors, folder, allowed)
        model = rebuild(content["modules"], content["tensors"], tensors, allowed)
        check_shapes(model, folder / stored_files.WEIGHTS)
        return model
    except Fault as fault:
        raise UserError(f"{file} does not describe a network: {fault}") from None
    except RecursionError:
        raise UserError(f"{file} does not describe a network: it is nested too deeply") from None


def _with_defaults(allowed: Sequence[str]) -> tuple[str, ...]:
    return (*ALLOWED, *([allowed] if isinstance(allowed, str) else allowed))


def _numbers(pruned: Any) -> dict[str, float]:
    found = {name: getattr(pruned, name, None) for name in NUMBERS}
    return {name: n for name, n in found.items() if isinstance(n, int | float) and math.isfinite(n)}


def _origin(
    model: nn.Module, factory: str, arguments: Mapping[str, Any] | None, allowed: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description (``factory`` and the attributes changed since), and the tensors by name."""
    try:
        plain = json.loads(json.dumps(dict(arguments or {}), allow_nan=False))  # as ``load`` will read them
    except (TypeError, ValueError) as error:
        raise UserError(f"the arguments of {factory} cannot be written as JSON: {error}") from None
    original = build(factory, plain, allowed)
    attributes = changed_attributes(original, model)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named_tensors(model)}
    check_names(original, tensors, "the pruned network")
    return {"factory": factory, "arguments": plain, "attributes": attributes}, tensors


def _from_origin(
    content: Mapping[str, Any], tensors: Mapping[str, Tensor], folder: Path, allowed: Sequence[str]
) -> nn.Module:
    for name, values in content["attributes"].items():
        if not isinstance(values, dict):
            raise Fault(f"the attributes of '{name}' are not an object")
    model = build(content["factory"], content["arguments"], allowed)
    set_attributes(model, content["attributes"], folder / stored_files.DESCRIPTION)
    set_tensors(model, tensors, folder / stored_files.WEIGHTS)
    return model.eval()
