"""Multiplications by layer: what the pruning literature before 2019 calls FLOPs.

ptflops also counts biases, batch norms, activations and pools. These shrink linearly with the channels left, a
convolution almost quadratically, so ptflops reports reductions up to 0.2 points smaller.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nisp.pruning.counting import counting
from nisp.pruning.inputs import Inputs, called, copied_inputs, in_precision, part, precision_of
from nisp.pruning.layer_weights import LAYERS
from nisp.pruning.undisturbed import undisturbed


@torch.no_grad()
def multiplications(model: nn.Module, example: Inputs) -> dict[str, int]:
    """Layer name -> multiplications per image; ``example`` is one image, shape (1, ...).

    An output value of a convolution or linear layer takes one multiplication per weight of its output channel. A layer
    that runs twice counts twice; one that does not run in eval mode is absent. A product belongs to the layer whose
    weight it reads, however it is called, else to the layer in which it runs; a parameter that is not called weight has
    its own name. Products of none, such as those of attention, are found under ''.
    """
    with undisturbed(model), _running(model) as running:
        counter = counting()
        with _ByLayer(_holders(model), running) as by_layer, counter as torchs:
            by_layer.formulas = torchs.flop_registry
            called(model, copied_inputs(in_precision(part(example, 0, 1), precision_of(model))))
    return by_layer.counts


def layer_of(parameter: str) -> str:
    """The name under which a parameter's multiplications are counted: of its layer if it is a weight, else its own."""
    owner, _, attribute = parameter.rpartition(".")
    return owner if owner and attribute == "weight" else parameter


def _holders(model: nn.Module) -> dict[int, str]:
    """Address of a parameter's storage -> the layer that holds it; the first of several names."""
    holders: dict[int, str] = {}
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and parameter.untyped_storage().data_ptr():
            holders.setdefault(parameter.untyped_storage().data_ptr(), layer_of(name))
    return holders


@contextlib.contextmanager
def _running(model: nn.Module) -> Iterator[list[str]]:
    """In the block, the names of the convolution and linear layers that are running, innermost last."""
    running: list[str] = []
    handles = []
    for name, layer in model.named_modules():
        if isinstance(layer, LAYERS):
            handles += [
                layer.register_forward_pre_hook(lambda *_, name=name: running.append(name)),
                layer.register_forward_hook(lambda *_: running.pop() and None),
            ]
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()


class _ByLayer(TorchDispatchMode):
    """Adds up the multiplications of every operation that runs beneath torch's counter, by layer."""

    formulas: Mapping[Any, Callable[..., int]] = {}

    def __init__(self, holders: Mapping[int, str], running: list[str]) -> None:
        super().__init__()
        self.holders, self.running = holders, running
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = self.formulas.get(getattr(func, "_overloadpacket", func))
        if formula is not None:
            name = self._name((args, kwargs))
            self.counts[name] = self.counts.get(name, 0) + formula(*args, **kwargs, out_val=result) // 2
        return result

    def _name(self, arguments: Any) -> str:
        tensors = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor) and leaf.dim() > 1]
        addresses = [tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.layout is torch.strided]
        held = next((self.holders[address] for address in addresses if address in self.holders), None)
        return held or (self.running[-1] if self.running else "")
