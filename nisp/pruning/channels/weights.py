"""Which indices of the network's weights belong to which channels, and what is left of them."""

import numpy as np
import torch
from torch import Tensor, nn

from nisp.pruning.channels.constants import Constants
from nisp.pruning.channels.ids import fixed_ids, unique, varies, wrapped
from nisp.pruning.channels.labels import matched
from nisp.pruning.channels.names import Holder, Names, WeightAxis
from nisp.pruning.channels.ties import FIXED, Ties


class Weights(Ties):
    """The weights that a pass on channel ids has met.

    reads      cut (a weight and its dimension) -> id of each index along it
    calls      cut -> the ids that it met each time that it was read; a group of a convolution reads by itself
    cuts       of a later pass: cut -> the indices left, in the order in which it is now read
    multiples  outputs of a depthwise convolution -> how many each input has
    sizes      module attribute that holds sizes to split into -> the sizes left
    """

    first: "Weights | None"

    def __init__(self, model: nn.Module, first: "Weights | None" = None, kept: np.ndarray | None = None) -> None:
        super().__init__(first, kept)
        self.names = Names(model)
        self.constants: Constants = (
            Constants(self.names) if first is None else Constants(self.names, first.constants, first.reads)
        )
        self.reads: dict[WeightAxis, np.ndarray] = {}
        self.calls: dict[WeightAxis, list[np.ndarray]] = {}
        self.cuts: dict[WeightAxis, np.ndarray] = {}
        self.multiples: dict[WeightAxis, int] = {}
        self.parts: dict[Holder, list[np.ndarray]] = {}
        self.sizes: dict[Holder, list[int]] = {}
        self.count = FIXED

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
