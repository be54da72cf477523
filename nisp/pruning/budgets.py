"""Channel counts that meet a budget of multiply-accumulates (MACs).

The search needs the MACs of many candidates, and measuring one takes a pruned copy of the network. So the MACs of
candidates are estimated layer by layer, and only the result is measured; if the two differ, the search is repeated with
its goal moved by the difference.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.counting import macs
from nisp.pruning.inputs import Inputs
from nisp.pruning.multiplications import layer_of, multiplications
from nisp.pruning.selection import checked_ratio
from nisp.pruning.surgery import Anatomy, cut_channels

TOLERANCE = 0.005
"""Allowed difference from the requested MACs, as a share of the unpruned network's."""

Keep = dict[str, int]
Count = Callable[[nn.Module, Inputs], int]


@dataclass(frozen=True)
class LayerMacs:
    """The MACs of a network's layers, and which shares of their inputs and outputs belong to each group.

    count    measures the MACs of a network, given an example of its input
    base     MACs of the unpruned network, by ``count``
    macs     layer name -> MACs in the unpruned network
    writes   layer name -> group name -> share of the group's channels in dimension 0 of the layer's weight, which are
             its outputs, except in transposed convolutions
    reads    the same in dimension 1
    """

    model: nn.Module
    structure: Anatomy
    count: Count
    base: int
    macs: Mapping[str, int]
    writes: Mapping[str, Mapping[str, float]]
    reads: Mapping[str, Mapping[str, float]]

    @property
    def sizes(self) -> Keep:
        """Channels of every group."""
        return self.structure.sizes

    def estimated(self, keep: Keep) -> float:
        """Estimated MACs: those of each layer, times the shares of its inputs and outputs that are left."""
        gone = {name: 1 - keep[name] / size for name, size in self.sizes.items()}
        return sum(
            macs * _left(self.writes.get(layer, {}), gone) * _left(self.reads.get(layer, {}), gone)
            for layer, macs in self.macs.items()
        )

    def measured(self, keep: Keep) -> int:
        """MACs of the network with these channel counts; which channels stay does not matter."""
        kept = {name: torch.arange(count) for name, count in keep.items()}
        return self.count(cut_channels(self.model, self.structure, kept), self.structure.example)


def layer_macs(model: nn.Module, structure: Anatomy, count: Count = macs) -> LayerMacs:
    """The MACs of a network's layers; ``count`` measures those of whole networks.

    UserError if it has none.
    """
    base = count(model, structure.example)
    by_layer = multiplications(model, structure.example)
    if base <= 0 or sum(by_layer.values()) <= 0:
        raise UserError(f"{type(model).__name__} has no convolution or matrix product, so it has no budget of MACs")
    writes, reads = (_shares(structure, by_layer, dim) for dim in (0, 1))
    return LayerMacs(model, structure, count, base, by_layer, writes, reads)


def _shares(structure: Anatomy, layers: Collection[str], dim: int) -> dict[str, dict[str, float]]:
    """Layer name -> group name -> share of one dimension of the layer's weight that is the group's channels.

    Which of the first two dimensions holds outputs and which inputs does not matter to the product of what is left.
    """
    shares: dict[str, dict[str, float]] = {}
    for (name, cut), ids in structure.channels.reads.items():
        if cut == dim and layer_of(name) in layers:
            labels = structure.channels.labels[ids]
            found = {group: float(np.isin(labels, members).mean()) for group, members in structure.labels.items()}
            shares.setdefault(layer_of(name), {}).update({group: share for group, share in found.items() if share})
    return {layer: found for layer, found in shares.items() if found}


def _left(shares: Mapping[str, float], gone: Mapping[str, float]) -> float:
    return 1 - sum(share * gone[group] for group, share in shares.items())


def met_by_share(layers: LayerMacs, ratio: float, keep: Callable[[float], Keep]) -> Keep:
    """Channel counts that leave 1 - ``ratio`` of the MACs when all groups lose the same share of their channels.

    ``keep`` maps a share to channel counts. Channel counts are integers, so a share rarely meets the budget exactly;
    single channels are then given back. UserError if the budget is missed by more than the tolerance.
    """

    def largest_within(goal: float) -> Keep:
        low, high = 0.0, 1.0
        for _ in range(30):
            share = (low + high) / 2
            low, high = (low, share) if layers.estimated(keep(share)) <= goal else (share, high)
        return keep(high)

    return _met(layers, ratio, largest_within, ceiling=keep(0.0))


def met_by_scores(layers: LayerMacs, ratio: float, scores: Mapping[str, Tensor], floor: float) -> Keep:
    """The same, but the channels with the lowest scores go first, compared across all groups of ``scores``.

    At least the share ``floor`` of each group's channels stays; groups that are not in ``scores`` stay whole.
    """
    least = {name: max(1, round(floor * len(values))) for name, values in scores.items()}
    ranked = sorted(
        (float(score), name)
        for name, values in scores.items()
        for score in values.sort(descending=True).values[least[name] :]
    )

    def without(count: int) -> Keep:
        keep = dict(layers.sizes)
        for _, name in ranked[:count]:
            keep[name] -= 1
        return keep

    def largest_within(goal: float) -> Keep:
        low, high = 0, len(ranked)
        while low < high:
            count = (low + high) // 2
            low, high = (low, count) if layers.estimated(without(count)) <= goal else (count + 1, high)
        return without(low)

    return _met(layers, ratio, largest_within, ceiling={name: layers.sizes[name] for name in scores})


def _met(layers: LayerMacs, ratio: float, largest_within: Callable[[float], Keep], ceiling: Keep) -> Keep:
    """Search, measure and move the goal until the measured MACs are within the tolerance."""
    wanted = (1 - checked_ratio(ratio, "the ratio of MACs")) * layers.base
    goal = wanted * layers.estimated(layers.sizes) / layers.base
    best, best_error = layers.sizes, float("inf")
    for _ in range(6):
        keep = _filled(layers, largest_within(goal), goal, ceiling)
        measured = layers.measured(keep)
        if abs(measured - wanted) < best_error:
            best, best_error = keep, abs(measured - wanted)
        if best_error <= TOLERANCE / 10 * layers.base:
            break
        goal += (wanted - measured) * layers.estimated(layers.sizes) / layers.base
    if best_error > TOLERANCE * layers.base:
        left = 100 * layers.measured(best) / layers.base
        raise UserError(
            f"no channel counts of {type(layers.model).__name__} leave {100 * (1 - ratio):g} % of its MACs: "
            f"the nearest leave {left:.1f} %"
        )
    return best


def _filled(layers: LayerMacs, keep: Keep, goal: float, ceiling: Keep) -> Keep:
    """``keep`` with single channels given back while any fits the goal, the most expensive first."""
    keep = dict(keep)
    while True:
        room = goal - layers.estimated(keep)
        prices = {
            name: layers.estimated({**keep, name: keep[name] + 1}) - layers.estimated(keep)
            for name in ceiling
            if keep[name] < layers.sizes[name]
        }
        fitting = {name: price for name, price in prices.items() if price <= room}
        if not fitting:
            return keep
        keep[max(fitting, key=fitting.__getitem__)] += 1
