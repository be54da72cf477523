"""Importing a library without packages that it takes along if they are there.

ptflops looks for torchvision and timm as it is imported, for layer types that no model here has; that costs every job
as much time as importing torch.
"""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """While open, importing any of ``packages`` that is not imported yet fails as if it were not installed."""
    absent = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]
