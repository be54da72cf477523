"""A forward pass on channel ids instead of numbers.

Each value of an activation is replaced by the id of the channel that it belongs to. A convolution or linear layer gives
each of its outputs a new id. An operation that moves values (reshape, concat, channel shuffle, windows) moves their
ids. Adding or multiplying two activations *ties* the ids that meet. The ids that a layer reads show which columns of
its weight belong to a channel. So the network's own code is the graph, and no architecture is known by name.

A channel is *fixed*, never to be removed, if removing it would change the rest of the network: the network's outputs,
channels that a norm or a sum mixes without weights, and everything that an operation without a rule reads. An operation
without a rule costs prunable channels, never correctness.
"""

import contextlib
import os
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import resolve_name
from torch.utils._pytree import tree_flatten

import nisp.pruning.channels.rules  # noqa: F401  fills the table
from nisp.errors import first_line
from nisp.pruning.channels.choices import Choices, Site
from nisp.pruning.channels.constants import Constants
from nisp.pruning.channels.counts import counted
from nisp.pruning.channels.dtypes import with_type
from nisp.pruning.channels.ids import Ids, compressed, fixed_ids, following, unique, varies, wrapped
from nisp.pruning.channels.labels import components, matched
from nisp.pruning.channels.names import Holder, Names, WeightAxis
from nisp.pruning.channels.smaller import smaller
from nisp.pruning.channels.table import CHANNEL_RULES, SHAPED, opaque
from nisp.pruning.dispatch import TO_PYTHON, Dispatched, public
from nisp.pruning.inputs import Inputs, called, each_tensor, precision_of
from nisp.pruning.outputs import tensors_in

FIXED = 0
"""The id of values that belong to no removable channel."""

_SKIPPED = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parent}{os.sep}")


class Unfit(Exception):
    """An operation of the network does not accept the pruned shapes; the channels in question have been fixed."""


class ChannelPass:
    """One pass on ids. Without ``kept`` it is the first, which finds ties and cuts.

    With ``kept`` (bool per id of the pass ``first``: is it left?) only the ids that are left flow, and the pass checks
    that each layer still reads exactly what is left of its inputs. This detects a reshape or slice that relies on the
    old number of channels. ``cuts`` gets the indices left of each weight, in the order in which it is now read.

    reads    cut (a weight and its dimension) -> id of each index along it
    calls    cut -> the ids that it met each time that it was read; a group of a convolution reads by itself
    labels   id -> label; ids with the same label are tied, and removed together
    movable  label -> whether it may be removed
    multiples  outputs of a depthwise convolution -> how many each input has
    sizes    module attribute that holds sizes to split into -> the sizes left
    """

    def __init__(self, model: nn.Module, first: "ChannelPass | None" = None, kept: np.ndarray | None = None) -> None:
        self.first, self.kept = first, kept
        self.names = Names(model)
        self.constants: Constants = (
            Constants(self.names) if first is None else Constants(self.names, first.constants, first.reads)
        )
        self.dtype = precision_of(model, torch.get_default_dtype())
        self.parts: dict[Holder, list[np.ndarray]] = {}
        self.sizes: dict[Holder, list[int]] = {}
        self.multiples: dict[WeightAxis, int] = {}
        self.reads: dict[WeightAxis, np.ndarray] = {}
        self.calls: dict[WeightAxis, list[np.ndarray]] = {}
        self.cuts: dict[WeightAxis, np.ndarray] = {}
        self.tied: list[np.ndarray] = []
        self.reasons: dict[int, str] = {}
        self.count = FIXED
        self.labels: np.ndarray = np.zeros(1, dtype=np.int64) if first is None else first.labels
        self.movable: np.ndarray = np.zeros(1, dtype=bool) if first is None else first.movable
        self.met: set[str] = set()
        self.operations: list[tuple[tuple[str, int] | None, np.ndarray]] = []
        self.trail: list[Any] = []
        self.dormant: set[str] = set()
        self.made: list[weakref.ref[Tensor]] = []
        self.settled = False
        self.within: set[int] = set()
        self.site: Site | None = None
        self.comparisons: list[tuple[np.ndarray, bool]] = []
        self.choices: Choices = Choices() if first is None else first.choices
        self.stuck = False

    def run(self, model: nn.Module, example: Inputs) -> None:
        """Send ids through ``model``, which must be in eval mode; its outputs become fixed.

        If some layers do not run then (auxiliary heads), the modules that hold them run again in training mode.
        """
        left = {} if self.first is None else {cut: self._kept(ids) for cut, ids in self.first.reads.items()}
        used = set() if self.first is None else self.first.constants.used
        with smaller(self.names, left, used):
            self._forward(model, example)
            ran = self.met | self.constants.used
            self.dormant = self.names.layer_weights - ran if self.first is None else self.first.dormant
            if self.dormant:
                self._forward_in_training(model, example)
        if self.first is None:
            self._settle()

    def _forward_in_training(self, model: nn.Module, example: Inputs) -> None:
        names = {".".join(name.split(".")[:end]) for name in self.dormant for end in range(name.count(".") + 1)}
        holders = [model.get_submodule(name) for name in names]
        for module in holders:
            module.training = True
        try:
            self._forward(model, example)
        except Unfit as error:
            if self.first is not None:
                raise
            layers = sorted(name.rpartition(".")[0] for name in self.dormant)
            raise Unfit(
                f"{', '.join(layers[:3])}{', ...' if len(layers) > 3 else ''} do not run in eval mode, and what they "
                f"read in training mode is unknown, because that fails ({error}): remove them first"
            ) from error
        finally:
            for module in holders:
                module.training = False

    def _forward(self, model: nn.Module, example: Inputs) -> None:
        try:
            with torch.no_grad(), following(self), Dispatched(Ids):
                outputs = called(model, each_tensor(example, lambda t: fixed_ids(t.shape, t.device, t.dtype)))
            found = [tensor for tensor in tensors_in(outputs) if isinstance(tensor, Ids)]
            if not found:
                raise Unfit("it returns nothing that depends on its input through operations that can be followed")
            for ids in found:
                self.fix(unique(ids.as_subclass(Tensor)), "is an output of the network")
        except Unfit:
            raise
        except Exception as error:
            if self.first is not None:
                with torch._C.DisableTorchFunctionSubclass(), contextlib.suppress(Unfit):
                    self._blame()
            raise Unfit(
                f"{resolve_name(self.trail[-1])}: {first_line(error)}" if self.trail else first_line(error)
            ) from error
        finally:
            self._end()

    def _end(self) -> None:
        """Turn the ids that the network keeps into plain tensors."""
        for reference in self.made:
            ids = reference()
            if ids is not None:
                ids.__class__ = Tensor
                ids.__dict__.clear()
        self.made.clear()

    def _settle(self) -> None:
        """Give tied ids the same label, and note which labels may be removed: not those of all that a layer reads."""
        for cut, operation in self.constants.mixed.items():
            if cut in self.reads:
                self.fix(self.reads[cut], f"is mixed with others where the network computes its weights ({operation})")
        self.labels = components(self.count + 1, np.concatenate([np.zeros((0, 2), dtype=np.int64), *self.tied]))
        self.choices.early = np.isin(self.labels, self.labels[[FIXED, *self.reasons]])
        for ids in self.reads.values():
            if (ids != ids[0]).any() and (self.labels[ids] == self.labels[ids[0]]).all():
                self.fix(ids, "can only be removed with all the other channels of its layer")
        self.movable = np.ones(self.labels.max() + 1, dtype=bool)
        self.movable[self.labels[[FIXED, *self.reasons]]] = False
        self.settled = True

    def removable(self) -> np.ndarray:
        """Whether each id may be removed, bool per id."""
        return self.movable[self.labels]

    def apply(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Apply the rule of one operation."""
        func = public(func, CHANNEL_RULES)
        if func in TO_PYTHON:
            raise Unfit(f"it branches on values of its activations ({resolve_name(func)})")
        body = CHANNEL_RULES.get(func)
        if body is None and getattr(func, "__name__", "") == "__get__":
            return func(*args, **kwargs)
        site = self.site = _site() if body in SHAPED else None
        leaves = tree_flatten((args, kwargs))[0]
        if self.first is None:
            met = [unique(leaf) for leaf in leaves if isinstance(leaf, Ids)]
            self.operations.append((site, np.concatenate(met)))
            self.met.update(name for leaf in leaves if (name := self.names.of(leaf)))
        self.trail.append(func)
        result = with_type(func, args, kwargs, (body or opaque)(self, func, *args, **kwargs))
        self.made += [weakref.ref(leaf) for leaf in [*leaves, *tree_flatten(result)[0]] if isinstance(leaf, Ids)]
        return result

    def _blame(self) -> None:
        """Fix the channels at the operation that failed; if it reshapes or splits, at every call from that code line.

        If all of these are fixed already, go back to the last operation that read any other channel.
        """
        assert self.first is not None
        reads = self.first.reads
        for ids in [*self.constants.failed_ids, *(reads[cut] for cut in self.constants.failed if cut in reads)]:
            self.fix(ids, "belongs to weights whose size the network relies on")
        for func, (site, met) in reversed(list(zip(self.trail, self.first.operations, strict=False))):
            alike = [ids for place, ids in self.first.operations if place == site] if site else [met]
            self.fix(np.concatenate(alike), f"is relied on by {resolve_name(func)}")

    def fix(self, ids: np.ndarray, reason: str) -> None:
        """Never remove a channel of ``ids``. In a later pass, Unfit if any of them was removable until now."""
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
        """Channels of ``one`` are only removed together with those at the same places of ``other``."""
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
        """The id of each index along ``dim``; the ids of an index that has several are tied, and the first is taken."""
        small = compressed(ids).movedim(dim, -1)
        rows = small.expand(*small.shape[:-1], ids.size(dim)).reshape(-1, ids.size(dim)).cpu().numpy()
        mixed = (rows != rows[0]).any(0)
        if mixed.any():
            rest = rows[1:, mixed]
            self.tie(np.broadcast_to(rows[0, mixed], rest.shape).flatten(), rest.flatten())
            if (rows[:, mixed] == FIXED).any():
                return np.where(mixed & (rows == FIXED).any(0), FIXED, rows[0])
        return rows[0]

    def mixes_within(self, ids: Tensor, dims: list[int]) -> bool:
        """Whether an operation mixes ids along ``dims``, but not all, as channels lie along another dimension, too.

        What it mixes can be `joined`.
        """
        if self.first is None and any(varies(ids, dim) for dim in dims):
            inner = {dim % ids.dim() for dim in dims}
            if any(varies(ids, dim) for dim in range(ids.dim()) if dim not in inner):
                self.within.add(len(self.trail))
        return len(self.trail) in (self.first or self).within

    def joined(self, ids: Tensor, dims: list[int]) -> Tensor:
        """Tie the ids along ``dims`` at each index of the others; ``dims`` shrink to length 1, the first ids."""
        small = ids.as_subclass(Tensor)
        for dim in dims:
            small = small.narrow(dim, 0, 1)
        thin = first = compressed(ids)
        for dim in dims:
            first = first.narrow(dim, 0, 1)
        self.tie(first.expand(thin.shape).flatten().cpu().numpy(), thin.flatten().cpu().numpy())
        return small

    def alike(self, ways: list[np.ndarray], apart: bool) -> None:
        """Tie channels so that parts of them stay equal: the rows of one of ``ways``, or none where no way holds.

        ``apart``  whether the parts go different ways, so that some of them may be removed where others are not
        """
        if ways:
            pick = self.choices.pick(self.site, len(ways) + 1, ways[0].flatten(), apart)
            if pick < len(ways):
                for part in ways[pick][1:]:
                    self.tie(ways[pick][0], part)

    def mixes_positions(self, cut: WeightAxis, ids: Tensor, dim: int) -> bool:
        """Whether a layer that reads along ``dim`` mixes positions only, as channels lie along another dimension."""
        if self.first is not None:
            return cut not in self.first.reads
        return not varies(ids, dim) and any(varies(ids, d) for d in range(ids.dim()))

    def write(self, cut: WeightAxis, count: int, groups: int = 1) -> np.ndarray:
        """Ids of a layer's outputs: new ones in the first pass, the ones that are left in a later pass.

        ``count`` outputs lie along ``cut``. If that is used by several ``groups``, each has as many outputs, which
        follow one another, and all lose the same.
        """
        if self.first is not None:
            before = self.first.reads[cut]
            left = np.flatnonzero(self._kept(before))
            self.cuts[cut] = left
            return (before[left] + len(before) * np.arange(groups)[:, None]).flatten()
        if cut not in self.reads:
            self.reads[cut] = np.arange(self.count + 1, self.count + 1 + count)
            self.count += count * groups
        ids = self.reads[cut] + count * np.arange(groups)[:, None]
        for part in ids[1:]:
            self.tie(ids[0], part)
        return ids.flatten()

    def multiple(self, cut: WeightAxis, weight: Tensor, groups: int) -> int | None:
        """How many outputs, along ``cut``, each input of a depthwise convolution has; None of any other convolution."""
        if self.first is not None:
            multiple, ids = self.first.multiples.get(cut), self.first.reads.get(cut)
            if multiple is not None and ids is not None and groups * multiple != self._kept(ids).sum():
                self.fix(ids, "is read by a convolution whose number of groups stays")
            return multiple
        if groups > 1 and weight.size(1) == 1:
            self.multiples[cut] = weight.size(0) // groups
        return self.multiples.get(cut)

    def read(self, cut: WeightAxis, ids: np.ndarray) -> None:
        """Note that the indices along ``cut`` are multiplied with, or added to, the channels ``ids``."""
        calls = self.calls.setdefault(cut, [])
        calls.append(ids)
        if self.first is None:
            if cut in self.reads:
                self.tie(self.reads[cut], ids)
            else:
                self.reads[cut] = ids
            return
        before = self.first.calls.get(cut, [])[: len(calls)]
        left = np.flatnonzero(self._kept(self.first.reads[cut]))
        places = matched(ids, before[-1][left]) if len(before) == len(calls) else None
        if places is None or not np.array_equal(self.cuts.setdefault(cut, left[places]), left[places]):
            self.fix(np.concatenate([self.first.reads[cut], ids]), f"would be read differently by {cut[0]} once pruned")

    def in_order(self, cut: WeightAxis, ids: np.ndarray) -> bool:
        """Whether, in a later pass, ``ids`` are what is left along ``cut``, in the order of the first pass."""
        assert self.first is not None
        before = self.first.reads[cut]
        return np.array_equal(ids, before[self._kept(before)])

    def meet(self, ids: Tensor, tensor: Tensor) -> Tensor:
        """An activation times or plus a constant tensor; parameters behind that are cut with the channels."""
        aligned = all(
            ids.size(d) == 1 or tensor.size(d) in (1, ids.size(d)) or self._known(tensor, d)
            for d in range(-min(tensor.dim(), ids.dim()), 0)
        )
        if not aligned:
            self.fix(unique(ids), "is broadcast to a tensor of another shape")
            return fixed_ids(torch.broadcast_shapes(ids.shape, tensor.shape), ids.device)
        shape = [1] * (tensor.dim() - ids.dim()) + list(ids.shape)
        for d in range(-tensor.dim(), 0):
            if shape[d] == 1 and tensor.size(d) > 1 and not self._known(tensor, d):
                shape[d] = tensor.size(d)
        ids = ids if list(ids.shape) == shape else wrapped(ids.expand(shape))
        for d in range(-tensor.dim(), 0):
            if (tensor.size(d) > 1 and varies(ids, d)) or self._known(tensor, d):
                self.read_along(tensor, d, self.column(ids, d))
        return ids

    def read_along(self, tensor: Tensor, dim: int, ids: np.ndarray) -> None:
        """Note that the indices along ``dim`` of a constant tensor meet the channels ``ids``."""
        cuts = self.constants.along(tensor, dim)
        if not cuts:
            self.fix(ids, "meets a tensor that is not a parameter")
        for cut in cuts:
            self.read(cut, ids)

    def counted(self, ids: Tensor, size: int) -> int:
        """``size``, a number that depends on how many channels lie in ``ids``; it reports what is done with it."""
        return counted(size, unique(ids), self)

    def used(self, ids: np.ndarray) -> None:
        """A number of channels was used as a value: these must stay."""
        if self.first is None and not self.settled:
            self.fix(ids, "is counted, and the network computes with their number")

    def compared(self, ids: np.ndarray, outcome: bool) -> None:
        """A number of channels was compared: the outcome must be that of the first pass; torch only checks."""
        if self.settled or sys._getframe(2).f_code.co_filename.startswith(_SKIPPED):
            return
        self.comparisons.append((ids, outcome))
        if self.first is not None:
            before = self.first.comparisons[len(self.comparisons) - 1 :][:1]
            if not before or before[0][1] != outcome:
                met = [ids, *(first for first, _ in before)]
                self.fix(np.concatenate(met), "is counted, and the network compares their number")

    def size_of(self, tensor: Tensor, dim: int) -> int:
        """Size of a constant tensor before anything was removed."""
        cuts = self.constants.along(tensor, dim)
        known = [len(self.first.reads[cut]) for cut in cuts if self.first is not None and cut in self.first.reads]
        return known[0] if known else tensor.size(dim)

    def sizes_left(self, sizes: list[int] | tuple[int, ...], ids: Tensor, dim: int) -> list[int]:
        """The ``sizes`` of a split; in a later pass what is left of them, if a module's attribute holds them."""
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
        """Whether, in the first pass, ``dim`` of this tensor was read along channels."""
        return self.first is not None and any(cut in self.first.reads for cut in self.constants.along(tensor, dim))

    def _kept(self, ids: np.ndarray) -> np.ndarray:
        assert self.kept is not None
        return self.kept[ids]


def _site() -> tuple[str, int]:
    """File and line of the network's code that calls the current operation."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
