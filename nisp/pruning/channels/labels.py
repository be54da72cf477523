"""Channel ids as arrays: which of them are tied together, and where one list of them stands in another."""

import numpy as np


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Labels 0, 1, ... of ``count`` nodes; nodes that ``pairs``, shape (m, 2), connect have the same label.

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


def matched(ids: np.ndarray, before: np.ndarray) -> np.ndarray | None:
    """Position of each of ``ids`` in ``before``, repeated ids in order; None if the two hold different ids."""
    ours, theirs = (np.argsort(each, kind="stable") for each in (ids, before))
    if not np.array_equal(ids[ours], before[theirs]):
        return None
    places = np.empty(len(ids), dtype=np.int64)
    places[ours] = theirs
    return places
