"""The layers that run in one forward pass, and the signals of the absolute network that they read and write."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import nisp.rules  # noqa: F401  the table of rules
from nisp.absolute import Pass, Response, Unmeasured, hollow, responses_in
from nisp.errors import UserError
from nisp.pruning.contract import channel_axis, evaluating
from nisp.signals import Signal

LAYERS = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: the signals that it read, made and wrote; ``wrote`` is behind its batch norm, if any."""

    read: Signal
    made: Signal
    wrote: Signal


@dataclass(frozen=True)
class Trace:
    """One forward pass: its input, the calls of each layer, in running order, and the outputs that depend on it."""

    source: Signal
    runs: dict[str, list[LayerCall]]
    outputs: list[Signal]


def traced(model: nn.Module, example: Tensor) -> Trace:
    """Run ``model`` in eval mode on ``example`` of shape (n, ...); the model is not changed.

    A layer is a convolution or linear module. It is recognised by its weight, even where another module uses that, or,
    where it computes its weight, by having just run. UserError if an operation has no rule, or if the example is not a
    floating-point tensor.
    """
    if not (isinstance(example, Tensor) and example.is_floating_point()):
        raise UserError("NISP needs one floating-point tensor as the network's example input")
    for measuring in (False, True):
        with contextlib.suppress(Unmeasured):
            return _passed(model, example, measuring)
    raise AssertionError("a measuring pass has all values")


def _passed(model: nn.Module, example: Tensor, measuring: bool) -> Trace:
    source = Signal(hollow(example).detach().requires_grad_())
    precision = next((p.dtype for p in model.parameters() if p.is_floating_point()), example.dtype)
    run = Pass(measuring)
    computed: dict[Signal, str] = {}
    behind: dict[Signal, Signal] = {}
    with torch.no_grad(), evaluating(model), _listening(model, computed, behind):
        outputs = model(Response.of(example.detach().to(precision), source, run))
    names = {id(m.weight): name for name, m in model.named_modules() if isinstance(m, LAYERS)}
    runs: dict[str, list[LayerCall]] = {}
    for weighing in run.weighings:
        name = names.get(id(weighing.weight)) or computed.get(weighing.made)
        if name is not None:
            wrote = behind.get(weighing.made, weighing.made)
            runs.setdefault(name, []).append(LayerCall(weighing.read, weighing.made, wrote))
    return Trace(source, runs, [response.signal for response in responses_in(outputs)])


def final_layers(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Name of the classifier -> number of its inputs, the final responses; one entry per head of the network.

    Heads that read the same responses count once. UserError as for `nisp.scores`.

    >>> import torch, nisp
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    >>> nisp.final_layers(model, torch.zeros(1, 3, 8, 8))
    {'3': 144}
    """
    trace = traced(model, example)
    return {
        name: trace.runs[name][-1].read.path.shape[channel_axis(model.get_submodule(name))]
        for name in classifiers_of(trace)
    }


def classifiers_of(trace: Trace) -> tuple[str, ...]:
    """The layers whose outputs reach the network's output through no other layer, one per tensor that they read.

    UserError if there is none, or if one of them feeds another, as in a network that ends without a classifier.
    """
    makers = {run.made.path.grad_fn: name for name, runs in trace.runs.items() for run in runs}
    found, seen = set(), set()
    waiting = [output.path.grad_fn for output in trace.outputs]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in makers:
            found.add(makers[node])
        else:
            waiting += [before for before, _ in node.next_functions]
    reads = {trace.runs[name][-1].read.path: name for name in reversed(trace.runs) if name in found}
    ordered = tuple(reversed(reads.values()))
    for name in ordered:
        others = {trace.runs[other][-1].made.path.grad_fn for other in ordered if other != name}
        if _reaches(trace.runs[name][-1].read.path.grad_fn, others):
            raise UserError(f"the network's output comes from {len(ordered)} layers, among them {name}, not from one")
    if not ordered:
        raise UserError("the network's output comes from no convolution or linear layer")
    return ordered


def _reaches(node: Any, targets: set[Any]) -> bool:
    """Whether ``node`` is, or depends on, any of ``targets``."""
    seen, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node in targets:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return False


@contextlib.contextmanager
def _listening(model: nn.Module, computed: dict[Signal, str], behind: dict[Signal, Signal]) -> Iterator[None]:
    """While open, a forward pass records the layer that computed a signal, and batch norms' input -> output."""

    def layer_ran(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: Sequence[Any], output: Any) -> None:
            if isinstance(output, Response):
                computed[output.signal] = name

        return note

    def norm_ran(module: nn.Module, inputs: Sequence[Any], output: Any) -> None:
        if isinstance(inputs[0], Response) and isinstance(output, Response):
            behind[inputs[0].signal] = output.signal

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, LAYERS):
            handles.append(module.register_forward_hook(layer_ran(name)))
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            handles.append(module.register_forward_hook(norm_ran))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
