"""Tells, in the log of a long training, where it is."""

import sys
import time
from collections.abc import Callable

INTERVAL = 10.0
"""Seconds between two lines, at least."""

MARK = "training: "
"""How every line begins."""


class Telling:
    """Prints a line on standard error after an epoch, at most every INTERVAL seconds; nothing of a short training.

    done, epochs  how many epochs are done already, and how many there will be
    """

    def __init__(self, done: int, epochs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.done, self.epochs, self.clock = done, epochs, clock
        self.started = self.told = clock()

    def epoch(self, number: int, loss: float, accuracy: float) -> None:
        """Epoch ``number`` is done, with this training loss and this accuracy on test images, in per cent."""
        now = self.clock()
        if now - self.told < INTERVAL:
            return
        self.told = now
        seconds = (now - self.started) / (number - self.done) * (self.epochs - number)
        print(
            f"{MARK}epoch {number} of {self.epochs}, loss {loss:.3g}, top-1 {accuracy:.2f} %, {clock(seconds)} left",
            file=sys.stderr,
            flush=True,
        )


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
