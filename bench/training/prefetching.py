"""Makes the next batches while the current one is used."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

BATCHES = 3
"""Made in advance, so that a slow one keeps nobody waiting."""


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items in the same order, ``BATCHES`` of them made in a thread while the one before them is used."""
    thread = ThreadPoolExecutor(1)
    try:
        waiting = deque(thread.submit(next, items, None) for _ in range(BATCHES))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(thread.submit(next, items, None))
            yield item
    finally:
        thread.shutdown(cancel_futures=True)
