"""Starting from trained weights instead of training: your own file, or torchvision's.

A source is the path of a safetensors file or of a state dict saved by torch.save, or ``torchvision:`` and the name of
weights, such as ``torchvision:ResNet50_Weights.IMAGENET1K_V1``, which torchvision's own code downloads once. Only
tensors are unpickled, and a file that does not fit is rejected, never loaded in part.
"""

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from nisp.errors import UserError

TORCHVISION = "torchvision:"
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Classifiers used only in training; torchvision's files have them, our networks may not."""


def load_pretrained(model: nn.Module, source: str, sha256: str | None = None) -> None:
    """Load the weights of ``source`` into ``model``, in place.

    sha256  hexadecimal digest that the file must have, if given

    UserError if the file is missing, broken, not the expected one, or made for another network or number of classes.
    """
    path = _downloaded(source.removeprefix(TORCHVISION)) if source.startswith(TORCHVISION) else Path(source)
    if not path.is_file():
        raise UserError(f"the weights file {path} does not exist")
    if sha256 is not None:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256.lower():
            raise UserError(f"the weights file {path} is not the expected one: its sha256 is {found}, not {sha256}")
    _load(model, _tensors(path), path)


def _downloaded(name: str) -> Path:
    """Path of torchvision's weights, downloaded if needed."""
    from torchvision.models import get_weight

    try:
        url = get_weight(name).url
    except (KeyError, ValueError):
        raise UserError(
            f"torchvision has no weights '{name}': write for example ResNet50_Weights.IMAGENET1K_V1"
        ) from None
    path = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rpartition("-")[2]  # torchvision's file names end in the first digits of the sha256
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
        except (URLError, OSError, RuntimeError) as error:
            raise UserError(f"torchvision's weights '{name}' cannot be downloaded: {error}") from None
    return path


def _tensors(path: Path) -> Mapping[str, Tensor]:
    """Name -> tensor. The first bytes tell the kind of file, because names do not: safetensors begins with JSON."""
    with path.open("rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"
    try:
        content = load_file(path) if is_safetensors else torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"the weights file {path} cannot be read: {_sentence(error)}") from None
    if not isinstance(content, Mapping) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise UserError(f"the weights file {path} must hold a mapping of names to tensors (a state dict), nothing else")
    return content


def _load(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = model.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if name in own or not name.startswith(AUXILIARY)}
    for fault in _misfits(own, given):
        raise UserError(f"the weights file {path} is not for this {type(model).__name__}: {fault}")
    model.load_state_dict(own | given)


def _misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Iterator[str]:
    """What of ``given`` does not fit; batch-norm counters may be missing, because old files have none."""
    for name in own:
        if name not in given and not name.endswith("num_batches_tracked"):
            yield f"it lacks {name}"
    for name, tensor in given.items():
        if name not in own:
            yield f"it has {name}, which the network does not have"
        elif tensor.shape != own[name].shape:
            yield f"{name} has the shape {tuple(tensor.shape)}, not {tuple(own[name].shape)}"


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()).partition(". ")[0][:200]
