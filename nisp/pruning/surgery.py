"""Removing channels from a network: which channels can go, and the network without them.

Following channel ids through the network finds what belongs to a channel (`nisp.pruning.channels`). The caller chooses
the channels; here every weight is cut once, in the order in which the pruned network reads it.
"""

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nisp.errors import UserError
from nisp.pruning.channels import ChannelPass, Unfit, follow
from nisp.pruning.contract import Consumer, Group, Producer, evaluating, silence
from nisp.pruning.declared_sizes import update_declared_sizes
from nisp.pruning.kept import Indices, checked_kept


@dataclass(frozen=True)
class Anatomy:
    """A network's prunable groups in forward order, and what surgery needs to remove their channels.

    labels    group name -> label of each channel (nisp.pruning.channels.ChannelPass)
    channels  the pass on channel ids that found them
    example   the input that it ran on
    """

    groups: tuple[Group, ...]
    labels: Mapping[str, np.ndarray]
    channels: ChannelPass
    example: Tensor

    @property
    def sizes(self) -> dict[str, int]:
        """Group name -> number of its channels."""
        return {group.name: group.channels for group in self.groups}


def anatomy(model: nn.Module, example: Tensor) -> Anatomy:
    """Find the prunable groups of ``model``; ``example`` is one input, shape (1, ...). Network outputs stay whole.

    UserError if no channel can be removed, or if the network cannot be followed.
    """
    example = example[:1]
    with evaluating(model):
        try:
            channels = follow(model, example)
        except Unfit as error:
            raise UserError(f"{type(model).__name__} cannot be pruned: {error}") from None
    places = _places(channels)
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for label, cuts in places.items():
        if any(dim == 0 for _, dim in cuts):
            alike[tuple((cut, len(indices)) for cut, indices in cuts.items())].append(label)
    if not alike:
        reason, count = Counter(channels.reasons.values()).most_common(1)[0]
        raise UserError(f"{type(model).__name__} has no channel that can be removed: each of {count} {reason}")
    groups: list[Group] = []
    labels: dict[str, np.ndarray] = {}
    for members in alike.values():
        group = _group(members, places, {group.name for group in groups})
        groups.append(group)
        labels[group.name] = np.array(members)
    return Anatomy(tuple(groups), labels, channels, example)


def _places(channels: ChannelPass) -> dict[int, dict[tuple[str, int], list[int]]]:
    """Removable label -> (layer, dimension of its weight), in running order -> indices; labels ascending."""
    places: dict[int, dict[tuple[str, int], list[int]]] = {}
    for (name, dim), ids in channels.reads.items():
        if isinstance(channels.names.owners[name], nn.Linear | nn.modules.conv._ConvNd) and name.endswith("weight"):
            layer = name.rpartition(".")[0]
            for index, label in enumerate(channels.labels[ids].tolist()):
                if channels.movable[label]:
                    places.setdefault(label, {}).setdefault((layer, dim), []).append(index)
    return places


def _group(members: list[int], places: Mapping[int, dict[tuple[str, int], list[int]]], taken: set[str]) -> Group:
    """The group of labels that lie in the same layers, named after the first layer that writes it."""
    indices = {cut: torch.tensor([places[label][cut] for label in members]) for cut in places[members[0]]}
    producers = tuple(Producer(layer, index) for (layer, dim), index in indices.items() if dim == 0)
    consumers = tuple(Consumer(layer, index) for (layer, dim), index in indices.items() if dim == 1)
    name, number = producers[0].name, 2
    while name in taken:
        name, number = f"{producers[0].name}#{number}", number + 1
    return Group(name, producers, consumers, len(members))


def remove_channels(model: nn.Module, structure: Anatomy, kept: Mapping[str, Indices]) -> nn.Module:
    """A copy of ``model`` with only the ``kept`` channels (group name -> indices) of each group.

    Groups that are not in ``kept`` stay whole. UserError for indices that are not the group's (nisp.pruning.kept), or
    if the network does not run with the pruned shapes.
    """
    kept = checked_kept(structure.groups, kept)
    pruned = copy.deepcopy(model)
    left = np.ones(len(structure.channels.movable), dtype=bool)
    for name, indices in kept.items():
        left[np.delete(structure.labels[name], indices.numpy())] = False
    channels = ChannelPass(pruned, structure.channels, left[structure.channels.labels])
    with evaluating(pruned):
        try:
            channels.run(pruned, structure.example)
        except Unfit as error:
            raise UserError(f"{type(model).__name__} cannot be pruned like this: {error}") from None
    if channels.cuts.keys() != structure.channels.reads.keys():
        raise UserError(f"{type(model).__name__} cannot be pruned like this: its layers would read other channels")
    for (name, dim), left_of in channels.cuts.items():
        _cut(pruned, channels.names.twins[name], dim, torch.from_numpy(left_of))
    for (owner, attribute), sizes in channels.sizes.items():
        module = pruned.get_submodule(owner)
        setattr(module, attribute, type(getattr(module, attribute))(sizes))
    for module in pruned.modules():
        _tell_size(module)
    update_declared_sizes(model, pruned, lambda network: network(structure.example))
    return pruned


def _cut(model: nn.Module, names: list[str], dim: int, indices: Tensor) -> None:
    """Keep only ``indices`` along one dimension of a parameter or buffer, which may have several names."""
    holders = [(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in names]
    tensor = getattr(*holders[0])
    if torch.equal(indices, torch.arange(tensor.size(dim))):
        return
    smaller = tensor.detach().index_select(dim, indices.to(tensor.device))
    if isinstance(tensor, nn.Parameter):
        smaller = nn.Parameter(smaller, requires_grad=tensor.requires_grad)
    for module, attribute in holders:
        setattr(module, attribute, smaller)


def _tell_size(module: nn.Module) -> None:
    """Set a layer's size attributes to the sizes of its weights."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        if module.groups > 1 and module.weight.size(1) == 1 and module.in_channels == module.groups:
            module.groups = module.groups * module.weight.size(0) // module.out_channels
        module.out_channels, module.in_channels = module.weight.size(0), module.weight.size(1) * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        sized = module.weight if module.weight is not None else module.running_mean
        module.num_features = module.num_features if sized is None else len(sized)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)


@torch.no_grad()
def removal_error(
    model: nn.Module, pruned: nn.Module, structure: Anatomy, kept: Mapping[str, Indices], images: Tensor
) -> float:
    """Largest difference between the outputs of ``pruned`` and of ``model`` with the same channels silenced.

    In float64, relative to the largest output: about 1e-15 if surgery removed exactly the right values. Of several
    outputs, in tuples, lists or dictionaries, the largest counts.
    """
    kept = checked_kept(structure.groups, kept)
    masked = copy.deepcopy(model).double().eval()
    for group in structure.groups:
        silence(masked, group, kept[group.name])
    whole, smaller = (tree_leaves(net(images.double())) for net in (masked, copy.deepcopy(pruned).double().eval()))
    pairs = [(a, b) for a, b in zip(whole, smaller, strict=True) if isinstance(a, Tensor) and a.is_floating_point()]
    difference, largest = (torch.stack(values).max() for values in _magnitudes(pairs))
    return (difference / largest.clamp_min(1e-300)).item()


def _magnitudes(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    """Of each pair of outputs, the largest difference and the largest value; not finite where an output is not."""
    return [(b - a).abs().max() for a, b in pairs], [a.abs().max() for a, _ in pairs]
