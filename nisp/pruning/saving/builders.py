"""Building a network from an import path and plain arguments that a file names.

A file must not be able to run arbitrary code: the function must build networks in an allowed package, and must not be
asked to load other weights, which might be pickled.
"""

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from nisp.errors import UserError
from nisp.pruning.saving.import_paths import ALLOWED, narrowed, within

FACTORIES: dict[str, tuple[str, ...]] = {
    "torch.nn": ("torch.nn.modules",),
    "torchvision": ("torchvision.models",),
    "timm": ("timm.models",),
}
"""The subpackages of ALLOWED that build networks: functions of others download, write or unpickle files."""
PRIVATE = re.compile(r"(torchvision|timm)\..*\b_(?!factory$)")
"""Modules in these that handle files."""
IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
LOADS_WEIGHTS = ("weights", "weights_backbone", "pretrained", "checkpoint_path")


def build(factory: str, arguments: Mapping[str, Any], allowed: Sequence[str] = ALLOWED) -> nn.Module:
    """The network that ``factory`` builds, with random weights.

    factory    "package.module:function", such as "torchvision.models:resnet18"
    arguments  its keyword arguments
    allowed    packages or modules; the function must be found and defined in them. In those of ALLOWED, it must be
               defined in a subpackage that builds networks

    Torch's random state does not change. UserError if the import path is malformed, not allowed or does not exist, or
    if the function does not take the arguments or does not return a network.
    """
    if not IMPORT_PATH.fullmatch(factory):
        raise UserError(f"'{factory}' is not an import path of the form package.module:function")
    module, name = factory.split(":")
    if not within(module, allowed):
        raise UserError(f"'{factory}' is not allowed: networks are built from {', '.join(allowed)} only")
    loading = [key for key in LOADS_WEIGHTS if arguments.get(key)]
    if loading:
        raise UserError(f"'{factory}' must be built without other weights: leave out {', '.join(loading)}")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"'{factory}' cannot be imported: {error}") from None
    places = narrowed(allowed, FACTORIES)
    home = getattr(function, "__module__", None) or ""
    if not callable(function) or not within(home, places) or PRIVATE.match(home):
        raise UserError(f"'{factory}' is not a function or class of {', '.join(places)} that builds networks")
    try:
        with torch.random.fork_rng(devices=[]):
            model = function(**arguments)
    except Exception as error:
        raise UserError(f"'{factory}' does not build with {dict(arguments)}: {error}") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"'{factory}' makes a {type(model).__name__}, not a network")
    return model
