"""Classes and functions by import path, "package.module:Name", and which of them a file may name.

A file must not be able to run arbitrary code. Classes must be network modules. Functions and classes are taken from the
module that defines them, never from one that imported them, and nothing outside the allowed packages is imported.
"""

import importlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from nisp.errors import UserError

ALLOWED = ("torch.nn", "torchvision", "timm")
"""Packages that may be imported if a file names them."""
FUNCTIONS = {
    "torch.nn": ("torch.nn.functional", "torch.functional"),
    "torchvision": ("torchvision.ops",),
    "timm": ("timm.layers",),
}
"""The subpackages of ALLOWED whose functions compute with tensors: others download, write or unpickle files."""
TENSOR_FUNCTIONS = {"torch": torch._C._VariableFunctions, "torch._C._nn": torch._C._nn}
"""Module name in a file -> where torch keeps its compiled functions of that name."""
FILE_FUNCTIONS = ("from_file",)


def within(module: str, packages: Sequence[str]) -> bool:
    """Whether ``module`` is one of ``packages`` or inside one of them."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def narrowed(allowed: Sequence[str], parts: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The ``allowed`` packages, with those of ALLOWED replaced by their subpackages in ``parts``."""
    return tuple(part for package in allowed for part in parts.get(package, (package,)))


def path_of(thing: Any) -> str:
    """Import path of a class or function; UserError if it has none."""
    if isinstance(thing, BuiltinFunctionType):
        for module, home in TENSOR_FUNCTIONS.items():
            if getattr(home, thing.__name__, None) == thing:
                return f"{module}:{thing.__name__}"
        raise UserError(f"the compiled function {thing.__name__} is not one of torch's")
    path = _home(thing)
    if "<" in path:
        raise UserError(f"'{path}' is a lambda, or is defined inside a function, so it cannot be imported")
    return path


def find_class(path: str, allowed: Sequence[str], kind: type = nn.Module) -> type:
    """The class at an import path. It must derive from ``kind`` and be defined there.

    Its module must be in an ``allowed`` package, or be imported already and not belong to torch. UserError otherwise.
    """
    found = _look_up(path, allowed)
    if not (isinstance(found, type) and issubclass(found, kind) and _home(found) == path):
        raise UserError(f"'{path}' is not a subclass of {kind.__name__} that is defined there")
    return found


def find_function(path: str, allowed: Sequence[str], modules: Collection[str]) -> Callable[..., Any]:
    """The function at an import path.

    It must be one of torch's compiled functions of tensors, or be defined in an ``allowed`` package (for those of
    ALLOWED: in FUNCTIONS), or in one of ``modules``, which define the network's classes, outside ALLOWED. UserError
    otherwise.
    """
    module, name = _split(path)
    if module in TENSOR_FUNCTIONS and name not in FILE_FUNCTIONS and not name.startswith("_"):
        compiled = getattr(TENSOR_FUNCTIONS[module], name, None)
        if isinstance(compiled, BuiltinFunctionType):
            return compiled
    places = narrowed(allowed, FUNCTIONS)
    if not within(module, places) and (module not in modules or within(module, ["torch", *FUNCTIONS])):
        raise UserError(f"the function '{path}' may not be named by a file: pass allowed=['{module}']")
    found = _look_up(path, places)
    if not (isinstance(found, FunctionType) and _home(found) == path):
        raise UserError(f"'{path}' is not a function that is defined there")
    return found


def _look_up(path: str, allowed: Sequence[str]) -> Any:
    """The object at an import path, looked up in dictionaries only, because ``getattr`` of a module can run code."""
    name, qualified = _split(path)
    found: Any = _imported(name, allowed) if within(name, allowed) else _present(name, path, allowed)
    for part in qualified.split("."):
        found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
    if found is None:
        raise UserError(f"'{path}' does not exist here; its package may have another version")
    return found


def _split(path: str) -> tuple[str, str]:
    module, _, name = path.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise UserError(f"'{path}' is not an import path of the form package.module:Name")
    return module, name


def _imported(module: str, allowed: Sequence[str]) -> ModuleType:
    if module.endswith("__main__") and module not in sys.modules:
        raise UserError(f"the module '{module}' is a program, which is not imported")
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise UserError(f"the module '{module}' cannot be imported: {error}") from None


def _present(module: str, path: str, allowed: Sequence[str]) -> ModuleType:
    """A module that the program has imported already."""
    if within(module, ["torch"]):
        raise UserError(f"'{path}' is not allowed: the packages are {', '.join(allowed)}")
    if module not in sys.modules:
        raise UserError(f"'{path}' is not known here: import {module} first, or pass allowed=['{module}']")
    return sys.modules[module]


def _home(thing: Any) -> str:
    """Import path by a class's or function's own attributes; torch defines some functions inside another."""
    made_inside = thing.__module__ == "torch.nn.functional"
    return f"{thing.__module__}:{thing.__name__ if made_inside else thing.__qualname__}"
