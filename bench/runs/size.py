"""MACs and parameters of a network, and who counted: ptflops where it sees every product, else torch.

ptflops is the stated counter of every suite. It counts by layer, biases, norms, activations and pools included, but
knows neither subclasses of layers nor most functional calls. torch's FlopCounterMode sees every convolution and matrix
product, however it is called, and nothing else. So ptflops' number is usually the larger one; where products are
missing from it, torch's is taken, and the record says so.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from nisp.pruning import counting
from nisp.pruning.contract import evaluating
from nisp.pruning.copies import copied

Counter = Literal["ptflops", "torch"]

MISSED = 0.01
"""Share of a network's products that ptflops may miss and still be its counter."""


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


_KNOWN = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear,
)  # fmt: skip
"""Layers whose products ptflops counts: of these types exactly, not of types derived from them."""


@dataclass(frozen=True)
class Size:
    """Multiply-accumulates of one image, and parameters.

    counter   who counted ``macs``
    products  multiply-accumulates of convolutions and matrix products alone, by torch's FlopCounterMode
    """

    macs: int
    params: int
    counter: Counter = "ptflops"
    products: int = field(default=0, compare=False)


def size_of(model: nn.Module, example: Tensor, counter: Counter | None = None) -> Size:
    """MACs of one image like ``example``, and parameters.

    counter  None for ptflops, unless more than MISSED of the network's products are missing from its count. Give the
             unpruned network's counter for a pruned one, so that both are counted by the same
    """
    products, missed = _products(model, example[:1])
    by_layer = None if counter == "torch" else _by_ptflops(model, example[:1])
    if by_layer is None or (counter is None and missed > MISSED * products):
        return Size(products, counting.params(model), "torch", products)
    return Size(by_layer, counting.params(model), "ptflops", products)


def macs_of(model: nn.Module, example: Tensor, counter: Counter | None = None) -> int:
    """MACs alone, as a budget counts them (nisp.pruning.budgets)."""
    return size_of(model, example, counter).macs


@torch.no_grad()
def _products(model: nn.Module, example: Tensor) -> tuple[int, int]:
    """Multiply-accumulates by torch's counter: all, and those outside the layers that ptflops knows."""
    known = 0
    with evaluating(model), counting.counting() as counter, contextlib.ExitStack() as hooks:

        def enter(*_: object) -> None:
            nonlocal known
            known -= counter.get_total_flops()

        def leave(*_: object) -> None:
            nonlocal known
            known += counter.get_total_flops()

        for module in model.modules():
            if type(module) in _KNOWN:
                hooks.callback(module.register_forward_pre_hook(enter).remove)
                hooks.callback(module.register_forward_hook(leave).remove)
        model(example)
        total = counter.get_total_flops()
    return total // 2, (total - known) // 2


def _by_ptflops(model: nn.Module, example: Tensor) -> int | None:
    """ptflops' count; None where it cannot run the network's layers."""
    counted = copied(model)  # ptflops leaves methods on it, which keep it from being sent to other processes
    # It prints what it cannot run, and a traceback.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        macs, _ = get_model_complexity_info(
            counted,
            tuple(example.shape[1:]),
            input_constructor=lambda _: example,
            as_strings=False,
            print_per_layer_stat=False,
            backend="pytorch",
            verbose=False,
        )
    return None if macs is None else int(macs)
