"""Removing channels for real, along torch-pruning's dependency graph; the only file that knows torch-pruning.

The graph says which slices of which modules belong to a channel. What is removed is decided here: each module is
cut once, by the union of all indices, counted in the original network, so the order of the groups does not matter.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.contract import Consumer, Group, Producer, silence
from bench.errors import UserError
from bench.hidden import hidden

with hidden("timm", "torchvision"):
    import torch_pruning as tp

Remove = Callable[[nn.Module, list[int]], nn.Module]


@dataclass(frozen=True)
class Cut:
    """How one module loses channels: ``remove(module, indices)``; ``indices[i]`` belong to channel i of the group."""

    module: str
    remove: Remove
    indices: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Anatomy:
    """A network's prunable groups in forward order, and group name -> all cuts that removing its channels takes."""

    groups: tuple[Group, ...]
    cuts: Mapping[str, tuple[Cut, ...]]


def anatomy(model: nn.Module, example: Tensor, classifier: str) -> Anatomy:
    """Find the groups of ``model``; the outputs of ``classifier`` are not to be pruned.

    UserError for a layer whose channels cannot be removed one by one.
    """
    model = copy.deepcopy(model).eval()
    order = _running_order(model, example)
    names = {module: name for name, module in model.named_modules()}
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=example)
    found = []
    for dependencies in graph.get_all_groups(ignored_layers=[model.get_submodule(classifier)]):
        root = dependencies[0].dep.target.module
        channels = graph.get_out_channels(root)
        cuts = tuple(
            Cut(names[item.dep.target.module], item.dep.handler, _per_channel(item, channels))
            for item in dependencies
            if item.dep.target.module in names
        )
        producers = [Producer(cut.module, torch.tensor(cut.indices)) for cut in cuts if _produces(graph, model, cut)]
        consumers = [
            Consumer(cut.module, torch.tensor(cut.indices))
            for cut in cuts
            if _weighs(model, cut) and graph.is_in_channel_pruning_fn(cut.remove)
        ]
        producers.sort(key=lambda producer: order[producer.name])
        consumers.sort(key=lambda consumer: order[consumer.name])
        found.append((Group(producers[0].name, tuple(producers), tuple(consumers), channels), cuts))
    found.sort(key=lambda pair: order[pair[0].name])
    return Anatomy(tuple(group for group, _ in found), {group.name: cuts for group, cuts in found})


def _running_order(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Name of each convolution and linear layer -> when it runs."""
    order: dict[str, int] = {}

    def ran(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            order.setdefault(name, len(order))

        return hook

    handles = [
        module.register_forward_hook(ran(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model(example)
    for handle in handles:
        handle.remove()
    return order


def _per_channel(item: tp.dependency.graph._helpers.GroupItem, channels: int) -> tuple[tuple[int, ...], ...]:
    """Indices of one dependency, sorted by the channel of the group that they belong to."""
    indices: list[list[int]] = [[] for _ in range(channels)]
    for index, channel in zip(item.idxs, item.root_idxs, strict=True):
        indices[channel].append(index)
    return tuple(map(tuple, indices))


def _weighs(model: nn.Module, cut: Cut) -> bool:
    """Whether the cut is through a convolution or a linear layer, which must mix all its channels."""
    module = model.get_submodule(cut.module)
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        raise UserError(f"layer {cut.module} is a grouped convolution, whose channels cannot be pruned yet")
    return isinstance(module, nn.Conv2d | nn.Linear)


def _produces(graph: tp.DependencyGraph, model: nn.Module, cut: Cut) -> bool:
    if not (_weighs(model, cut) and graph.is_out_channel_pruning_fn(cut.remove)):
        return False
    if cut.indices != tuple((i,) for i in range(len(cut.indices))):
        raise UserError(f"layer {cut.module} does not write the channels of its group one to one")
    return True


def keep_plan(groups: tuple[Group, ...], ratio: float) -> dict[str, int]:
    """Channels to keep in each group when ``ratio`` of them goes: rounded to the nearest, halves up, at least 1."""
    return {group.name: max(1, math.floor(group.channels * (1 - ratio) + 0.5 + 1e-9)) for group in groups}


def prune(model: nn.Module, parts: Anatomy, kept: Mapping[str, Tensor]) -> nn.Module:
    """A copy of ``model`` that has only the ``kept`` channels (group name -> indices) of each group.

    RuntimeError if a layer is left with other than the planned number of channels.
    """
    pruned = copy.deepcopy(model)
    removals: dict[tuple[str, Remove], set[int]] = defaultdict(set)
    for name, channels in kept.items():
        survivors = set(channels.tolist())
        for cut in parts.cuts[name]:
            for channel, indices in enumerate(cut.indices):
                if channel not in survivors:
                    removals[cut.module, cut.remove].update(indices)
    for (module, remove), removed in removals.items():
        if removed:
            remove(pruned.get_submodule(module), sorted(removed))
    for group in parts.groups:
        for producer in group.producers if group.name in kept else ():
            left = len(pruned.get_parameter(f"{producer.name}.weight"))
            if left != len(kept[group.name]):
                raise RuntimeError(
                    f"layer {producer.name} has {left} channels after surgery, not {len(kept[group.name])}"
                )
    return pruned


@torch.no_grad()
def removal_error(
    model: nn.Module, pruned: nn.Module, parts: Anatomy, kept: Mapping[str, Tensor], images: Tensor
) -> float:
    """Largest difference between the outputs of ``pruned`` and of ``model`` with the same channels silenced.

    In float64 and relative to the largest output: about 1e-15 if surgery removed just what it should.
    """
    masked = copy.deepcopy(model).double().eval()
    for group in parts.groups:
        silence(masked, group, kept[group.name])
    expected = masked(images.double())
    difference = copy.deepcopy(pruned).double().eval()(images.double()) - expected
    return (difference.abs().max() / expected.abs().max().clamp_min(1e-300)).item()
