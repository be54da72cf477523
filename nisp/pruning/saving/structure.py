"""A network as data: its modules, their plain attributes, and the names of its tensors.

    modules   one entry per module, the network first; a shared module once
        class         its import path
        attributes    name -> value (nisp.pruning.saving.plain_values)
        modules       name -> position of the child in this list, or null
        parameters    name -> name in ``tensors``, or null
        buffers       the same
        unsaved       names of the buffers that are not in the state dict
    tensors   name -> {"parameter": bool, "requires_grad": bool, "order": its dimensions by descending stride, or null
              if it is contiguous}; a shared tensor once, under its first name

The network is rebuilt without calling any of its constructors (nisp/pruning/saving/rebuilding.py).
"""

import contextlib
import functools
import inspect
from collections.abc import Iterator, Sequence
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from nisp.errors import UserError
from nisp.pruning.saving.import_paths import ALLOWED, find_class, find_function, path_of
from nisp.pruning.saving.plain_values import to_json

BOOKKEEPING = frozenset(vars(nn.Module()))
"""Attributes of every module; hooks among them must be empty, and ``training`` is not saved."""
DERIVED = {nn.RNNBase: ("_flat_weights", "_flat_weight_refs")}
"""Attributes that only refer to parameters, and are made from them when the network is rebuilt."""


def describe(model: nn.Module, allowed: Sequence[str] = ALLOWED) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The network as data, and its tensors by name, on the CPU and contiguous.

    UserError, which names module and attribute, for anything that is not plain data, for hooks and parametrizations,
    and for classes and functions that ``load`` would not find (nisp.pruning.saving.import_paths).
    """
    return _Description(model, allowed).content()


def derived(module: nn.Module) -> tuple[str, ...]:
    """Names of the module's attributes that are not described."""
    return tuple(name for kind, names in DERIVED.items() if isinstance(module, kind) for name in names)


def overrides(kind: type, attribute: str) -> bool:
    """Whether an instance's ``attribute`` would replace a method or property of its class."""
    found = inspect.getattr_static(kind, attribute, None)
    return inspect.isroutine(found) or isinstance(found, property | staticmethod | classmethod)


class _Description:
    """The description of a network, built up module by module."""

    def __init__(self, model: nn.Module, allowed: Sequence[str]) -> None:
        self.modules = dict(model.named_modules())
        self.allowed = allowed
        self.positions = {id(module): position for position, module in enumerate(self.modules.values())}
        self.defining = {type(module).__module__ for module in self.modules.values()}
        self.names: dict[int, str] = {}
        self.tensors: dict[str, Tensor] = {}

    def content(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        for name, module in self.modules.items():
            for leaf, tensor in [*module._parameters.items(), *module._buffers.items()]:
                if tensor is not None:
                    with _refusing(f"the tensor '{leaf}'", name):
                        self._add(f"{name}.{leaf}" if name else leaf, tensor)
        modules = [self._module(name, module) for name, module in self.modules.items()]
        described = {name: _tensor(tensor) for name, tensor in self.tensors.items()}
        return {"modules": modules, "tensors": described}, {name: _plain(t) for name, t in self.tensors.items()}

    def _module(self, name: str, module: nn.Module) -> dict[str, Any]:
        with _refusing("the class", name):
            _check_class(type(module), self.allowed)
        _check_hooks(module, name)
        attributes = {}
        for key, value in vars(module).items():
            if key not in BOOKKEEPING and key not in derived(module):
                with _refusing(f"the attribute '{key}'", name):
                    if overrides(type(module), key):
                        raise UserError("it replaces a method or property of its class")
                    attributes[key] = to_json(value, functools.partial(self._refer, f"{name}.{key}"))
        return {
            "class": path_of(type(module)),
            "attributes": attributes,
            "modules": {key: self._position(child) for key, child in module._modules.items()},
            "parameters": {key: self._name(tensor) for key, tensor in module._parameters.items()},
            "buffers": {key: self._name(tensor) for key, tensor in module._buffers.items()},
            "unsaved": sorted(module._non_persistent_buffers_set),
        }

    def _position(self, module: nn.Module | None) -> int | None:
        return None if module is None else self.positions[id(module)]

    def _name(self, tensor: Tensor | None) -> str | None:
        return None if tensor is None else self.names[id(tensor)]

    def _add(self, name: str, tensor: Tensor) -> str:
        """Record a tensor under a name, unless it already has one; return its name."""
        if type(tensor) not in (Tensor, nn.Parameter):
            raise UserError(f"it is a {type(tensor).__name__}")
        if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
            raise UserError("it has no values, or is sparse or quantized")
        if id(tensor) not in self.names:
            while name in self.tensors:
                name += "_"
            self.names[id(tensor)] = name
            self.tensors[name] = tensor
        return self.names[id(tensor)]

    def _refer(self, place: str, value: Any) -> dict[str, Any]:
        """A module, tensor, class or function as a reference that ``load`` resolves."""
        if id(value) in self.positions:
            return {"module": self.positions[id(value)]}
        if isinstance(value, Tensor):
            if isinstance(value, nn.Parameter) and id(value) not in self.names:
                raise UserError("it holds a parameter that is not registered")
            return {"tensor": self._add(place.removeprefix("."), value)}
        if isinstance(value, type):
            tag, kind = ("enumeration", Enum) if issubclass(value, Enum) else ("class", nn.Module)
            find_class(path_of(value), self.allowed, kind)
            return {tag: path_of(value)}
        if isinstance(value, FunctionType | BuiltinFunctionType):
            path = path_of(value)
            if find_function(path, self.allowed, self.defining) is not value:
                raise UserError(f"'{path}' is another function now")
            return {"function": path}
        raise UserError(f"it holds a {type(value).__name__}, which is not plain data")


def _check_class(kind: type, allowed: Sequence[str]) -> None:
    if find_class(path_of(kind), allowed) is not kind:
        raise UserError(f"'{path_of(kind)}' is another class now")
    if any(getattr(base, "__slots__", ()) for base in kind.__mro__ if issubclass(base, nn.Module)):
        raise UserError("it has __slots__")


def _check_hooks(module: nn.Module, name: str) -> None:
    if is_parametrized(module):
        with _refusing("a parametrization", name):
            raise UserError("it is code that computes weights")
    for key in BOOKKEEPING:
        if key.endswith("_hooks") or "_hooks_" in key:
            with _refusing(f"'{key}'", name):
                if vars(module)[key]:
                    raise UserError("hooks are code")


def _tensor(tensor: Tensor) -> dict[str, Any]:
    """What is saved of a tensor besides its values; the order of its dimensions decides how torch sums."""
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    return {
        "parameter": isinstance(tensor, nn.Parameter),
        "requires_grad": tensor.requires_grad,
        "order": None if tensor.is_contiguous() else order,
    }


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().clone()


@contextlib.contextmanager
def _refusing(what: str, module: str) -> Iterator[None]:
    """Add to an error where the refused object is, and what to do."""
    try:
        yield
    except (UserError, RecursionError) as error:
        where = f"of module '{module}'" if module else "of the network"
        reason = "it contains itself" if isinstance(error, RecursionError) else error
        raise UserError(f"{what} {where} cannot be saved: {reason}; pass factory= instead") from None
