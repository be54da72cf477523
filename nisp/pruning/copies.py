"""Copies of networks."""

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from nisp.errors import UserError, first_line


def copied(model: nn.Module) -> nn.Module:
    """A deep copy; kept activations, which PyTorch does not copy, are detached, and scripted functions are shared.

    UserError if the network holds something else that cannot be copied.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for value in module.__dict__.values():
            if isinstance(value, torch.jit.ScriptFunction):
                memo[id(value)] = value
            elif isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
            elif type(value) in (dict, OrderedDict) and not value:
                memo[id(value)] = type(value)()  # of which every module has a dozen, each slow to copy
        for parameter in module._parameters.values():
            if type(parameter) is nn.Parameter:
                memo[id(parameter)] = _copied(parameter)
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise UserError(f"{type(model).__name__} cannot be copied: {first_line(error)}") from error


def _copied(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.detach().clone(memory_format=torch.preserve_format), parameter.requires_grad)
