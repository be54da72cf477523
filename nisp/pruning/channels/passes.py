"""A forward pass on channel ids instead of numbers.

Each entry of an activation is replaced by the id of the channel that its value belongs to. A convolution or linear
layer gives each of its outputs a new id; an operation that moves values (reshape, concat, channel shuffle, windows)
moves their ids; adding or multiplying two activations *ties* the ids that meet; and the ids that a layer reads tell
which columns of its weight go with a channel. So the network's own code is the graph, and no architecture is known by
name.

A channel is *fixed*, never to be removed, where removing it would change what is left of the network: the network's
outputs, channels that a norm or a sum mixes without weights, and all that an operation without a rule reads. Such an
operation costs prunable channels, never correctness.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import resolve_name
from torch.utils._pytree import tree_flatten

import nisp.pruning.channels.rules  # noqa: F401  fills the table
from nisp.pruning.channels.ids import Ids, compressed, fixed_ids, following, unique, varies
from nisp.pruning.channels.names import Holder, Names, WeightAxis
from nisp.pruning.channels.table import CHANNEL_RULES, SHAPED, opaque

FIXED = 0
"""The id of values that no removable channel wrote."""

_SKIPPED = (str(Path(torch.__file__).parent), str(Path(__file__).parent))

FAILURES = (RuntimeError, ValueError, IndexError, TypeError, KeyError, AssertionError)
"""What a network raises where shapes do not fit."""


class Unfit(Exception):
    """Pruned shapes do not go through an operation of the network; the channels in question have been fixed."""


class ChannelPass:
    """One pass on ids. Without ``kept`` it is the first, which finds ties and cuts.

    With ``kept`` (for each id of the pass ``first``: is it left?) only what is left flows, and the pass checks that
    each layer still reads just what is left of its inputs: so a reshape or slice that counts on the old number of
    channels is found out. What is left of a weight, in the order in which it is now read, is put into ``cuts``.

    reads    cut -> id of each index along it
    labels   id -> what it is tied to: ids of one label go together
    movable  label -> whether it may be removed
    sizes    where a module holds sizes of parts -> what is left of them
    """

    def __init__(self, model: nn.Module, first: "ChannelPass | None" = None, kept: np.ndarray | None = None) -> None:
        self.first, self.kept = first, kept
        self.names = Names(model)
        self.parts: dict[Holder, list[np.ndarray]] = {}
        self.sizes: dict[Holder, list[int]] = {}
        self.reads: dict[WeightAxis, np.ndarray] = {}
        self.cuts: dict[WeightAxis, np.ndarray] = {}
        self.tied: list[np.ndarray] = []
        self.reasons: dict[int, str] = {}
        self.count = FIXED
        self.labels: np.ndarray = np.zeros(1, dtype=np.int64) if first is None else first.labels
        self.movable: np.ndarray = np.zeros(1, dtype=bool) if first is None else first.movable
        self.met: set[str] = set()
        self.operations: list[tuple[tuple[str, int] | None, np.ndarray]] = []
        self.trail: list[Any] = []
        self.with_heads = False
        self.stuck = False

    def run(self, model: nn.Module, example: Tensor) -> None:
        """Send ids through ``model``, which must be in eval mode; its outputs become fixed.

        Layers that do not run there (auxiliary heads) are looked for as the model's own forward runs in training mode.
        """
        self._forward(model, example)
        if self.first is not None:
            self.with_heads = self.first.with_heads
        else:
            self.with_heads = not self.names.weights() <= self.met
        if self.with_heads:
            model.training = True
            try:
                self._forward(model, example)
            finally:
                model.training = False
        if self.first is None:
            self._settle()

    def _forward(self, model: nn.Module, example: Tensor) -> None:
        try:
            with torch.no_grad(), following(self):
                outputs = model(fixed_ids(example.shape, example.device))
        except FAILURES as error:
            if self.first is not None:
                with torch._C.DisableTorchFunctionSubclass(), contextlib.suppress(Unfit):
                    self._blame()
            raise Unfit(f"{resolve_name(self.trail[-1])}: {error}" if self.trail else str(error)) from error
        for leaf in tree_flatten(outputs)[0]:
            if isinstance(leaf, Ids):
                self.fix(unique(leaf.as_subclass(Tensor)), "is an output of the network")

    def _settle(self) -> None:
        """Label ids that are tied alike, and note which labels may be removed."""
        self.labels = _components(self.count + 1, np.concatenate([np.zeros((0, 2), dtype=np.int64), *self.tied]))
        self.movable = np.ones(self.labels.max() + 1, dtype=bool)
        self.movable[self.labels[[FIXED, *self.reasons]]] = False

    def apply(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The rule of one operation."""
        body = CHANNEL_RULES.get(func)
        if body is None and getattr(func, "__name__", "") == "__get__":
            return func(*args, **kwargs)
        site = _site() if body in SHAPED else None
        leaves = tree_flatten((args, kwargs))[0]
        if self.first is None:
            met = [unique(leaf) for leaf in leaves if isinstance(leaf, Ids)]
            self.operations.append((site, np.concatenate(met)))
            self.met.update(name for leaf in leaves if (name := self.names.of(leaf)))
        self.trail.append(func)
        return (body or opaque)(self, func, *args, **kwargs)

    def _blame(self) -> None:
        """Fix what met at the operation that failed, and, if it deals channels out, wherever that line of code does.

        If all of that is fixed already, go back to the last operation that read anything else.
        """
        assert self.first is not None
        for func, (site, met) in reversed(list(zip(self.trail, self.first.operations, strict=False))):
            alike = [ids for place, ids in self.first.operations if place == site] if site else [met]
            self.fix(np.concatenate(alike), f"is counted on by {resolve_name(func)}")

    def fix(self, ids: np.ndarray, reason: str) -> None:
        """No channel of ``ids`` is ever removed. Unfit in a later pass, if that is news."""
        if self.first is None:
            self.reasons.update(dict.fromkeys(ids[ids != FIXED].tolist(), reason))
            return
        fresh = ids[self.movable[self.labels[ids]]]
        if len(fresh):
            self.stuck = True
            self.first.reasons.update(dict.fromkeys(fresh.tolist(), reason))
            self.movable[self.labels[fresh]] = False
            raise Unfit(reason)

    def tie(self, one: np.ndarray, other: np.ndarray) -> None:
        """Channels of ``one`` go only together with those at the same places of ``other``."""
        if len(one) != len(other):
            raise ValueError(f"{len(one)} channels meet {len(other)}")
        apart = one != other
        one, other = one[apart], other[apart]
        loose = (one == FIXED) | (other == FIXED)
        self.fix(np.concatenate([one[loose], other[loose]]), "meets channels that stay")
        if self.first is None:
            self.tied.append(np.unique(np.stack([one[~loose], other[~loose]], 1), axis=0))
        else:
            foreign = self.labels[one] != self.labels[other]
            self.fix(np.concatenate([one[foreign], other[foreign]]), "meets other channels once pruned")

    def column(self, ids: Tensor, dim: int) -> np.ndarray:
        """The id of each index along ``dim``; where it differs between the other positions, fixed."""
        small = compressed(ids).movedim(dim, -1)
        rows = small.expand(*small.shape[:-1], ids.size(dim)).reshape(-1, ids.size(dim)).cpu().numpy()
        mixed = (rows != rows[0]).any(0)
        if mixed.any():
            self.fix(np.unique(rows[:, mixed]), "shares a place with other channels")
        return np.where(mixed, FIXED, rows[0])

    def mixes_positions(self, cut: WeightAxis, ids: Tensor, dim: int) -> bool:
        """Whether a layer that reads along ``dim`` finds one channel there, while the channels lie along another."""
        if self.first is not None:
            return cut not in self.first.reads
        return not varies(ids, dim) and any(varies(ids, d) for d in range(ids.dim()))

    def write(self, weight: str, count: int) -> np.ndarray:
        """Ids of a layer's outputs: new ones, or in a pass on what is left, those that are left."""
        cut = (weight, 0)
        if self.first is not None:
            before = self.first.reads[cut]
            left = np.flatnonzero(self._kept(before))
            self.cuts[cut] = left
            return before[left]
        if cut not in self.reads:
            self.reads[cut] = np.arange(self.count + 1, self.count + 1 + count)
            self.count += count
        return self.reads[cut]

    def read(self, cut: WeightAxis, ids: np.ndarray) -> None:
        """The indices along ``cut`` are multiplied with, or added to, the channels ``ids``."""
        if self.first is None:
            if cut in self.reads:
                self.tie(self.reads[cut], ids)
            else:
                self.reads[cut] = ids
            return
        before = self.first.reads[cut]
        left = np.flatnonzero(self._kept(before))
        places = _matched(ids, before[left])
        if places is None:  # a layer that runs twice reads channels that are tied, not the same
            places = _matched(self.labels[ids], self.labels[before[left]])
        if places is None or not np.array_equal(self.cuts.setdefault(cut, left[places]), left[places]):
            self.fix(np.concatenate([before, ids]), f"would be read otherwise by {cut[0]} once pruned")

    def meet(self, ids: Tensor, tensor: Tensor) -> Tensor:
        """An activation times or plus a tensor that does not depend on the input; slices it if it is a parameter."""
        aligned = tensor.dim() <= ids.dim() and all(
            tensor.size(d) in (1, ids.size(d)) or self._known(tensor, d) for d in range(-tensor.dim(), 0)
        )
        if not aligned:
            self.fix(unique(ids), "is spread over a tensor of other shape")
            return fixed_ids(torch.broadcast_shapes(ids.shape, tensor.shape), ids.device)
        for d in range(-tensor.dim(), 0):
            if tensor.size(d) > 1 and (self._known(tensor, d) or varies(ids, d)):
                cut = self.names.axis_of(tensor, d)
                if cut is None:
                    self.fix(self.column(ids, d), "meets a tensor that is no parameter")
                else:
                    self.read(cut, self.column(ids, d))
        return ids

    def sizes_left(self, sizes: list[int] | tuple[int, ...], ids: Tensor, dim: int) -> list[int]:
        """The ``sizes`` that channels are split into; where a module's attribute holds them, what is left of them."""
        holder = self.names.holder_of(sizes)
        if holder is None or (self.first is None and not varies(ids, dim)):
            return list(sizes)
        if self.first is None:
            parts = np.split(self.column(ids, dim), np.cumsum(sizes)[:-1])
            for before, now in zip(self.parts.setdefault(holder, parts), parts, strict=True):
                self.tie(before, now)
        elif holder in self.first.parts:
            self.sizes[holder] = [int(self._kept(part).sum()) for part in self.first.parts[holder]]
            return self.sizes[holder]
        return list(sizes)

    def _known(self, tensor: Tensor, dim: int) -> bool:
        """Whether the first pass found ``dim`` of a tensor to go along with channels."""
        return self.first is not None and tensor.size(dim) > 1 and self.names.axis_of(tensor, dim) in self.first.reads

    def _kept(self, ids: np.ndarray) -> np.ndarray:
        assert self.kept is not None
        return self.kept[ids]


def _components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Label of each of ``count`` nodes: those that ``pairs``, shape (m, 2), connect have the same, from 0 on.

    Every node points to a smaller one of its component, or to itself; pointers are shortened until all point to the
    smallest (Shiloach and Vishkin 1982).
    """
    root = np.arange(count)
    first, second = pairs.T
    while True:
        low, high = np.minimum(root[first], root[second]), np.maximum(root[first], root[second])
        if (low == high).all():
            return np.unique(root, return_inverse=True)[1]
        np.minimum.at(root, high, low)
        while (root != root[root]).any():
            root = root[root]


def _matched(ids: np.ndarray, before: np.ndarray) -> np.ndarray | None:
    """Where each of ``ids`` stands in ``before``, repeated ones in order; None if they are not the same."""
    ours, theirs = (np.argsort(each, kind="stable") for each in (ids, before))
    if not np.array_equal(ids[ours], before[theirs]):
        return None
    places = np.empty(len(ids), dtype=np.int64)
    places[ours] = theirs
    return places


def _site() -> tuple[str, int]:
    """File and line of the network's code that calls the present operation."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
