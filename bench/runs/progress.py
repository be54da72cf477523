"""Progress of a job with many similar items, printed on standard error."""

import sys
import time


class Progress:
    """Counts to ``total`` and prints a line at most every ``interval`` seconds, and at the end."""

    def __init__(self, what: str, total: int, interval: float = 10.0) -> None:
        self.what, self.total, self.interval = what, total, interval
        self.done = 0
        self.started = self.printed = time.monotonic()

    def step(self) -> None:
        """Count one more item."""
        self.done += 1
        now = time.monotonic()
        if now - self.printed < self.interval and self.done < self.total:
            return
        self.printed = now
        left = (now - self.started) / self.done * (self.total - self.done)
        print(f"{self.what}: {self.done}/{self.total}, {left:.0f} s left", file=sys.stderr, flush=True)
