"""MACs and parameters, as ptflops counts them: the stated counter of every suite."""

import contextlib
import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn


@contextlib.contextmanager
def _not_importable(*packages: str) -> Iterator[None]:
    """In the block, importing any of ``packages`` that is not imported yet fails as if it were not installed.

    ptflops imports torchvision and timm if installed, for layer types that no model here has; that would
    cost every job as much time as importing torch.
    """
    absent = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for package in absent:
            del sys.modules[package]


with _not_importable("timm", "torchvision"):
    from ptflops import get_model_complexity_info


@dataclass(frozen=True)
class Size:
    """Multiply-accumulates of one image, and parameters."""

    macs: int
    params: int


def size_of(model: nn.Module, example: Tensor) -> Size:
    """MACs of one image of ``example``'s shape, and parameters, by ptflops' layer-wise counter."""
    counted = copy.deepcopy(model)  # ptflops leaves methods on it, which keep it from being sent to other processes
    macs, params = get_model_complexity_info(
        counted,
        tuple(example.shape[1:]),
        as_strings=False,
        print_per_layer_stat=False,
        backend="pytorch",
        verbose=False,
    )
    return Size(int(macs), int(params))


def macs_of(model: nn.Module, example: Tensor) -> int:
    """MACs alone, as a budget counts them (nisp.pruning.budgets)."""
    return size_of(model, example).macs
