"""Copies of networks."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from nisp.errors import UserError, first_line


def copied(model: nn.Module) -> nn.Module:
    """A deep copy; kept activations, which PyTorch does not copy, are detached, and scripted functions are shared.

    UserError if the network holds something else that cannot be copied.
    """
    held = [value for module in model.modules() for value in module.__dict__.values()]
    memo: dict[int, Any] = {id(value): value for value in held if isinstance(value, torch.jit.ScriptFunction)}
    memo |= {id(value): value.detach().clone() for value in held if isinstance(value, Tensor) and not value.is_leaf}
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise UserError(f"{type(model).__name__} cannot be copied: {first_line(error)}") from error
