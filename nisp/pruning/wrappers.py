"""Networks that wrap another one, and networks whose layers cannot be reached."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from nisp.errors import UserError

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
_AVERAGES = ("ModelEma", "ModelEmaV2", "ModelEmaV3", "ModelEMA", "EMA")
"""Class names of other libraries' moving averages, which hold the network in ``module``."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The network behind ``torch.compile``, DataParallel, DistributedDataParallel and moving averages of weights.

    UserError for what is not a module, and where layers are out of reach: scripted, traced and quantised networks.
    """
    while True:
        inner = _inner(model)
        if inner is None:
            break
        model = inner
    if not isinstance(model, nn.Module):
        raise UserError(f"the network is of class {type(model).__name__}: give a torch.nn.Module")
    if any(kind.__module__.startswith("torchvision.models.detection.") for kind in type(model).__mro__):
        _refuse_detector(model)
    for name, module in model.named_modules():
        _refuse(model, f"its part '{name}'" if name else "it", module)
    return model


def _inner(model: nn.Module) -> nn.Module | None:
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):  # torch.compile
        return model._orig_mod  # type: ignore[return-value]
    if isinstance(model, _WRAPPERS) or type(model).__name__ in _AVERAGES:
        inner = getattr(model, "module", None)
        return inner if isinstance(inner, nn.Module) else None
    return None


def _refuse_detector(model: nn.Module) -> None:
    if hasattr(model, "transform") and hasattr(model, "backbone"):
        raise UserError(
            f"{type(model).__name__} takes lists of images and chooses boxes by score, which cannot be followed: "
            "prune its backbone, model.backbone, and put the pruned one in its place"
        )


def _refuse(model: nn.Module, which: str, module: nn.Module) -> None:
    kind = type(model).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise UserError(
            f"{kind} cannot be followed, because {which} is scripted or traced: pass the module that it was made from, "
            "and script the pruned one"
        )
    home = type(module).__module__
    if home.startswith(("torch.ao.", "torchao.", "torch.nn.quantized", "torch.quantization")):
        raise UserError(
            f"{kind} cannot be followed, because {which} is quantised or prepared for quantisation: pass the "
            "floating-point network, and quantise the pruned one"
        )
    for name, parameter in module.named_parameters(recurse=False):
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise UserError(f"{kind} cannot be followed, because {which} has no '{name}' yet: run it once before")
        if name == "weight" and not (parameter.is_floating_point() or parameter.is_complex()):
            raise UserError(
                f"{kind} cannot be followed, because the weight of {which} is stored as {parameter.dtype}: pass the "
                "floating-point network"
            )
