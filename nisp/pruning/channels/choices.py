"""Ways to keep an operation right when channels go, where the network's code does not show which one holds.

``x.view(n, 2, c // 2)`` needs the same channels to go from both halves, ``x.view(n, c // 2, 2)`` needs whole pairs to
go, and the shapes of one pass do not show which number was derived from the other. So every line of the network's code
that can be meant in several ways starts with the first, and takes another if trial removals show that the first leaves
more channels fixed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

Site = tuple[str, int]
"""File and line of the network's code."""


@dataclass
class Choices:
    """The way taken at each line of code, and what a pass found there.

    picks   line -> number of the way; absent: 0, the first
    ways    line -> how many there are
    ids     line -> the channels in question
    open    lines where channels may be fixed only because others are, to which a way ties them
    early   bool per id: fixed whatever the ways are, or by what a way ties it to
    """

    picks: dict[Site, int] = field(default_factory=dict)
    ways: dict[Site, int] = field(default_factory=dict)
    ids: dict[Site, list[np.ndarray]] = field(default_factory=dict)
    open: set[Site] = field(default_factory=set)
    early: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def pick(self, site: Site | None, ways: int, ids: np.ndarray, apart: bool) -> int:
        """Number of the way that is taken at ``site``, which has ``ways`` for these channels.

        ``apart``  whether they may go apart from one another, if no way holds
        """
        if site is None:
            return 0
        if apart:
            self.open.add(site)
        self.ways[site] = max(ways, self.ways.get(site, 0))
        self.ids.setdefault(site, []).append(ids)
        return self.picks.get(site, 0)

    def others(self, fixed: np.ndarray) -> Iterator[dict[Site, int]]:
        """Other picks to try: where any channel in question is ``fixed`` (bool per id), at all lines, then at each."""
        late = fixed & ~self.early
        stuck = {
            site: self.picks.get(site, 0)
            for site, ids in self.ids.items()
            if (fixed if site in self.open else late)[np.concatenate(ids)].any()
        }
        further = max((self.ways[site] - pick for site, pick in stuck.items()), default=0)
        for step in range(1, further):
            yield self.picks | {site: min(pick + step, self.ways[site] - 1) for site, pick in stuck.items()}
        if len(stuck) > 1:
            for site, pick in stuck.items():
                for other in range(pick + 1, self.ways[site]):
                    yield self.picks | {site: other}
