"""Lazy imports: a package imports its public names from their modules on first use (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazily(package: str, homes: Mapping[str, str], names: dict[str, Any]) -> tuple[Callable[[str], Any], list[str]]:
    """``__getattr__`` and ``__all__`` of a package.

    homes  public name -> the module that defines it
    names  the package's globals, which keep a name once it is imported
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        names[name] = getattr(importlib.import_module(homes[name]), name)
        return names[name]

    return get, sorted(homes)
