"""Removing channels from a network: which channels can go, and the network without them.

Following channel ids through the network finds what belongs to a channel (`nisp.pruning.channels`). The caller chooses
the channels; here every weight is cut once, in the order in which the pruned network reads it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from nisp.errors import UserError, first_line
from nisp.pruning.channels import ChannelPass, Unfit, follow
from nisp.pruning.comparing import Difference, difference
from nisp.pruning.contract import Consumer, Group, Producer, silence
from nisp.pruning.copies import copied
from nisp.pruning.declared_sizes import update_declared_sizes
from nisp.pruning.inputs import Inputs, called, checked_inputs, copied_inputs, in_precision, part, precision_of
from nisp.pruning.kept import Indices, checked_kept
from nisp.pruning.layer_weights import LAYERS, TRANSPOSED, places_in
from nisp.pruning.undisturbed import undisturbed
from nisp.pruning.wrappers import unwrapped


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
    example: Inputs

    @property
    def sizes(self) -> dict[str, int]:
        """Group name -> number of its channels."""
        return {group.name: group.channels for group in self.groups}


@torch.inference_mode(False)
@torch.no_grad()
def anatomy(model: nn.Module, example: Inputs) -> Anatomy:
    """Find the prunable groups of ``model``; ``example`` is one input, shape (1, ...). Network outputs stay whole.

    UserError if no channel can be removed, or if the network cannot be followed, or does not run on the example.
    """
    model = unwrapped(model)
    example = in_precision(part(checked_inputs(example), 0, 1), precision_of(model))
    with undisturbed(model):
        try:
            called(model, copied_inputs(example))
        except Exception as error:
            raise UserError(f"{type(model).__name__} does not run on the example: {first_line(error)}") from error
    try:
        channels = follow(model, example)
    except Unfit as error:
        raise UserError(f"{type(model).__name__} cannot be pruned: {error}") from error
    places = _places(channels)
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for label, cuts in places.items():
        if any(dim == 0 for _, dim in cuts):
            alike[tuple((cut, len(indices)) for cut, indices in cuts.items())].append(label)
    if not alike:
        raise UserError(f"{type(model).__name__} has no channel that can be removed: {_why(model, channels)}")
    groups: list[Group] = []
    labels: dict[str, np.ndarray] = {}
    for members in alike.values():
        group = _group(members, places, {group.name for group in groups})
        groups.append(group)
        labels[group.name] = np.array(members)
    return Anatomy(tuple(groups), labels, channels, example)


def _why(model: nn.Module, channels: ChannelPass) -> str:
    """Why no channel can be removed: the most common reason, and what to do about weights that are computed."""
    if not channels.reasons:
        return "no convolution or linear layer of it reads what another one wrote"
    reason, count = Counter(channels.reasons.values()).most_common(1)[0]
    computed = [name for name, module in model.named_modules() if _computes_its_weight(module)]
    if not computed:
        return f"each of {count} {reason}"
    return (
        f"each of {count} {reason}; the weight of '{computed[0]}' is computed: make it a plain one with "
        "torch.nn.utils.parametrize.remove_parametrizations, remove_weight_norm, remove_spectral_norm or prune.remove"
    )


def _computes_its_weight(module: nn.Module) -> bool:
    return is_parametrized(module) or (isinstance(module, LAYERS) and "weight" not in module._parameters)


def _places(channels: ChannelPass) -> dict[int, dict[tuple[str, int], list[int]]]:
    """Removable label -> (layer, 0 for its outputs or 1 for its inputs), in running order -> indices."""
    places: dict[int, dict[tuple[str, int], list[int]]] = {}
    for (name, dim), ids in channels.reads.items():
        owner, (layer, _, leaf) = channels.names.owners[name], name.rpartition(".")
        if isinstance(owner, LAYERS) and leaf == "weight":
            side, ids = places_in(owner, dim, ids)
            for index, label in enumerate(channels.labels[ids].tolist()):
                if channels.movable[label]:
                    places.setdefault(label, {}).setdefault((layer, side), []).append(index)
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
    pruned = cut_channels(model, structure, kept)
    update_declared_sizes(unwrapped(model), pruned, lambda network: called(network, copied_inputs(structure.example)))
    return pruned


@torch.inference_mode(False)
@torch.no_grad()
def cut_channels(model: nn.Module, structure: Anatomy, kept: Mapping[str, Indices]) -> nn.Module:
    """As `remove_channels`, for a network that only runs: sizes that its modules declare are left as they were."""
    kept = checked_kept(structure.groups, kept)
    model = unwrapped(model)
    pruned = copied(model)
    left = np.ones(len(structure.channels.movable), dtype=bool)
    for name, indices in kept.items():
        left[np.delete(structure.labels[name], indices.numpy())] = False
    channels = ChannelPass(pruned, structure.channels, left[structure.channels.labels])
    with undisturbed(pruned):
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
    elif isinstance(module, TRANSPOSED):
        if module.groups > 1 and module.in_channels == module.groups:
            module.groups = module.weight.size(0)
        module.in_channels, module.out_channels = module.weight.size(0), module.weight.size(1) * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        sized = module.weight if module.weight is not None else module.running_mean
        module.num_features = module.num_features if sized is None else len(sized)
    elif isinstance(module, nn.GroupNorm) and module.weight is not None:
        module.num_groups = module.num_groups * len(module.weight) // module.num_channels
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)


def removal_error(
    model: nn.Module, pruned: nn.Module, structure: Anatomy, kept: Mapping[str, Indices], images: Inputs
) -> float:
    """Largest difference between the outputs of ``pruned`` and of ``model`` with the same channels silenced.

    In float64, relative to the largest output: about 1e-15 if surgery removed exactly the right values; in the
    network's own precision if it does not run in float64. Of several outputs, the largest counts.
    """
    return removal(model, pruned, structure, kept, images).error


def removal(
    model: nn.Module, pruned: nn.Module, structure: Anatomy, kept: Mapping[str, Indices], images: Inputs
) -> Difference:
    """The removal error, and the largest one that the precision of the network explains."""
    kept = checked_kept(structure.groups, kept)
    masked = copied(unwrapped(model))
    for group in structure.groups:
        silence(masked, group, kept[group.name])
    return difference(masked, unwrapped(pruned), checked_inputs(images, "the images"))
