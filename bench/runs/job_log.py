"""Sets up a job's log and threads; prints a UserError as one line."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from bench.runs.allocation import keep_memory
from nisp.errors import UserError


class _Tee:
    """Writes to standard error and to the log."""

    def __init__(self, *streams: TextIO) -> None:
        self.streams = streams

    def write(self, text: str) -> int:
        for stream in self.streams:
            stream.write(text)
            stream.flush()
        return len(text)

    def flush(self) -> None: ...


@contextlib.contextmanager
def job(log: str, threads: int = 1) -> Iterator[None]:
    """Copy standard error to the log, limit torch to ``threads``, and end a UserError with one line and status 1.

    The process keeps the memory that it frees (bench.runs.allocation).
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
        keep_memory()
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("a") as file, contextlib.redirect_stderr(_Tee(sys.stderr, file)):  # type: ignore[type-var]
        try:
            yield
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
