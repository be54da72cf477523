"""The classifier of a network: the layer, or one per head, whose inputs are the final responses."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from nisp.errors import UserError
from nisp.network import Trace, traced
from nisp.pruning.contract import channel_axis
from nisp.pruning.inputs import Inputs
from nisp.pruning.wrappers import unwrapped

Node = Any
"""A step of autograd's graph."""


def final_layers(model: nn.Module, example: Inputs) -> dict[str, int]:
    """Name of the classifier -> number of its inputs, the final responses; one entry per head of the network.

    Heads that read the same responses count once. UserError as for `nisp.scores`.

    >>> import torch, nisp
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    >>> nisp.final_layers(model, torch.zeros(1, 3, 8, 8))
    {'3': 144}
    """
    model = unwrapped(model)
    trace = traced(model, example)
    return {
        name: trace.runs[name][-1].read.path.shape[channel_axis(model.get_submodule(name))]
        for name in classifiers_of(trace)
    }


def classifiers_of(trace: Trace) -> tuple[str, ...]:
    """The layers whose outputs reach the network's outputs through no other layer, one per tensor that they read.

    Features that a network returns beside what its classifier makes of them are not a head of their own. A frozen layer
    behind one that learns, such as the fixed convolution that turns a distribution into its mean, is no classifier.

    UserError, which says how to name the classifier, if there is none, or if it cannot be known: in a network that ends
    without a classifier, or whose last weights belong to no layer.
    """
    if not trace.outputs:
        raise UserError("the network returns nothing that depends on its input through operations that can be followed")
    makers = _makers(trace)
    makers |= {signal.path.grad_fn: "" for signal in trace.unnamed}
    heads = _heads(trace, makers)
    if {makers[node] in trace.frozen for head in heads for node in head} == {True, False}:
        learning = {node: name for node, name in makers.items() if name not in trace.frozen}
        heads = [_stops(node, learning) for node in _ends(trace)]
    found = {makers[node] for head in _without_features(_ends(trace), heads, makers) for node in head}
    if "" in found:
        raise UserError(
            "the network's output comes from weights that belong to no convolution or linear layer: "
            + _name_it(trace.runs)
        )
    reads = {frozenset(r.read.path for r in trace.runs[name]): name for name in reversed(trace.runs) if name in found}
    if not reads:
        raise UserError("the network's output comes from no convolution or linear layer")
    return tuple(reversed(reads.values()))


def reached(trace: Trace, classifiers: Iterable[str]) -> set[str]:
    """The layers whose outputs reach the inputs of ``classifiers`` through no other layer."""
    makers = _makers(trace)
    reads = (run.read.path.grad_fn for name in classifiers for run in trace.runs[name])
    return {makers[node] for read in reads for node in _stops(read, makers)}


def _makers(trace: Trace) -> dict[Node, str]:
    """The step of each call of a layer -> the layer."""
    return {run.made.path.grad_fn: name for name, runs in trace.runs.items() for run in runs}


def _ends(trace: Trace) -> list[Node]:
    return [output.path.grad_fn for output in trace.outputs]


def _heads(trace: Trace, makers: Mapping[Node, str]) -> list[set[Node]]:
    """Per output of the network, the calls of layers that it depends on through no other layer."""
    return [_stops(node, makers) for node in _ends(trace)]


def _without_features(ends: list[Node], heads: list[set[Node]], makers: Mapping[Node, str]) -> list[set[Node]]:
    """The heads that do not feed another one; a head whose layers feed one another must feed another head."""
    chained = [any(_reaches(node, head - {node}) for node in head) for head in heads]
    last = [head for head, chain in zip(heads, chained, strict=True) if not chain]
    feeding = [any(_reaches(node, head) for other in last for node in other - head) for head in heads]
    for head, chain, feeds, end in zip(heads, chained, feeding, ends, strict=True):
        if feeds and end in head:
            raise UserError(
                f"which layer is the classifier cannot be known, because the output of {makers[end]} is returned, and "
                "so is that of a layer behind it: " + _name_it(makers.values())
            )
        if chain and not feeds:
            names = sorted({makers[node] or "weights of no layer" for node in head})
            raise UserError(
                f"the network's output comes from {len(names)} layers that feed one another, among them {names[-1]}, "
                "and not from a classifier: " + _name_it(names)
            )
    return [head for head, feeds in zip(heads, feeding, strict=True) if not feeds]


def _name_it(names: Iterable[str]) -> str:
    listed = list(dict.fromkeys(name for name in names if name))[-5:]
    return f"name the layer whose inputs are the final responses with classifier= (for example {', '.join(listed)})"


def _stops(end: Node, makers: Mapping[Node, str]) -> set[Node]:
    """The nodes of ``makers`` that are met first on every way back from ``end``."""
    found, seen, waiting = set(), set(), [end]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in makers:
            found.add(node)
        else:
            waiting += [before for before, _ in node.next_functions]
    return found


def _reaches(node: Node, targets: set[Node]) -> bool:
    """Whether ``node`` depends on any of ``targets``."""
    seen, waiting = set(), [before for before, _ in node.next_functions]
    while waiting:
        node = waiting.pop()
        if node in targets:
            return True
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
    return False
