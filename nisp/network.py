"""A network's layers as they run in one forward pass, and what of the absolute network they read and write."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import nisp.rules  # noqa: F401  the table of rules
from bench.errors import UserError
from nisp.absolute import Response, hollow, responses_in

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass
class Trace:
    """Paths of one forward pass.

    source   of the network's input
    reads    layer -> of its input, once for each time it ran
    writes   layer -> of its output, behind the batch norm that directly follows, if any
    makes    layer -> of its output itself
    outputs  of the network's outputs
    """

    source: Tensor
    reads: dict[str, list[Tensor]] = field(default_factory=dict)
    writes: dict[str, list[Tensor]] = field(default_factory=dict)
    makes: dict[str, list[Tensor]] = field(default_factory=dict)
    outputs: list[Tensor] = field(default_factory=list)


def traced(model: nn.Module, example: Tensor) -> Trace:
    """Run ``model``, in eval mode, on ``example`` of shape (n, ...); it is left as it was.

    UserError if an operation has no rule.
    """
    source = hollow(example).detach().requires_grad_()
    trace = Trace(source)
    weights = next((p for p in model.parameters() if p.is_floating_point()), example)
    with torch.no_grad(), evaluating(model), _listening(model, trace):
        outputs = model(Response.of(example.detach().to(weights.dtype), source))
    trace.outputs = [output.path for output in responses_in(outputs)]
    return trace


def classifier_of(trace: Trace) -> str:
    """The one layer whose output reaches the network's output through no other layer.

    UserError if there is none or more than one, as in networks with several heads.
    """
    makers = {path.grad_fn: name for name, paths in trace.makes.items() for path in paths}
    found: dict[str, None] = {}
    seen = set()
    waiting = [path.grad_fn for path in trace.outputs]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in makers:
            found[makers[node]] = None
        else:
            waiting += [source for source, _ in node.next_functions]
    if len(found) != 1:
        names = ", ".join(sorted(found)) or "none"
        raise UserError(f"the network's output must come from one classifier layer, not {names}: name it as classifier")
    return next(iter(found))


def channel_axis(layer: nn.Module) -> int:
    """Dimension of a layer's input and output that its channels are in."""
    return -1 if isinstance(layer, nn.Linear) else 1


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for every module; each one's own mode is put back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def _listening(model: nn.Module, trace: Trace) -> Iterator[None]:
    """While open, a forward pass fills in ``trace``."""

    def layer_ran(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs and isinstance(inputs[0], Response) and isinstance(output, Response):
                trace.reads.setdefault(name, []).append(inputs[0].path)
                trace.writes.setdefault(name, []).append(output.path)
                trace.makes.setdefault(name, []).append(output.path)

        return note

    def attention_ran(name: str) -> Callable[..., None]:
        # Multi-head attention uses its output projection's weight, but does not run it as a module.
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if isinstance(output[0], Response):
                trace.writes.setdefault(f"{name}.out_proj", []).append(output[0].path)

        return note

    def norm_ran(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(inputs[0], Response) and isinstance(output, Response):
            for paths in trace.writes.values():
                if paths[-1] is inputs[0].path:
                    paths[-1] = output.path

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, LAYERS):
            handles.append(module.register_forward_hook(layer_ran(name)))
        elif isinstance(module, nn.MultiheadAttention):
            handles.append(module.register_forward_hook(attention_ran(name)))
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            handles.append(module.register_forward_hook(norm_ran))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
