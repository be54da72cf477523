"""Which channels are removed together, and which ones stay."""

import numpy as np
from torch import Tensor

from nisp.pruning.channels.choices import Choices, Site
from nisp.pruning.channels.ids import compressed, varies

FIXED = 0
"""The id of values that belong to no removable channel."""


class Unfit(Exception):
    """An operation of the network does not accept the pruned shapes; the channels in question have been fixed."""


class Ties:
    """The ties of a pass on channel ids; without ``first`` it is the first pass, which finds them.

    labels   id -> label; ids with the same label are tied, and removed together
    movable  label -> whether it may be removed
    kept     of a later pass: bool per id, is it left?
    reasons  id that must stay -> why
    trail    the operations so far
    """

    def __init__(self, first: "Ties | None" = None, kept: np.ndarray | None = None) -> None:
        self.first, self.kept = first, kept
        self.tied: list[np.ndarray] = []
        self.reasons: dict[int, str] = {}
        self.labels: np.ndarray = np.zeros(1, dtype=np.int64) if first is None else first.labels
        self.movable: np.ndarray = np.zeros(1, dtype=bool) if first is None else first.movable
        self.trail: list[object] = []
        self.within: set[int] = set()
        self.site: Site | None = None
        self.choices: Choices = Choices() if first is None else first.choices
        self.stuck = False

    def removable(self) -> np.ndarray:
        """Whether each id may be removed, bool per id."""
        return self.movable[self.labels]

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

    def _kept(self, ids: np.ndarray) -> np.ndarray:
        assert self.kept is not None
        return self.kept[ids]
