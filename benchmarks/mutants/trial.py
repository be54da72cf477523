"""Trying a change: in a copy of the project, by tests that run in a process forked from one that is warm already.

Importing torch and its kin takes most of a short test run, so each worker imports them once and forks for every change.
What the project itself imports is imported afresh.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.mutants.changes import Change

WARM = ("numpy", "pandas", "pandera.pandas", "scipy.stats", "torch", "torchvision", "hypothesis", "pytest", "yaml")
PROJECT = ("nisp", "baselines", "bench", "benchmarks", "tests")
SECONDS = 300
"""A change whose tests take longer has been noticed."""


def warm_up(copies: Sequence[str], number: object) -> None:
    """Make this process the worker of one of ``copies``; ``number`` is a shared counter."""
    with number.get_lock():  # type: ignore[attr-defined]
        mine = number.value  # type: ignore[attr-defined]
        number.value += 1  # type: ignore[attr-defined]
    os.environ.update(OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    os.chdir(copies[mine])
    for name in WARM:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)


def first_failure(change: Change, waves: Sequence[Sequence[str]]) -> str:
    """The first test, of the test files in ``waves``, that fails with the change; empty text if none does."""
    target = Path(change.file)
    source = target.read_bytes()
    target.write_bytes(change.applied(source))
    try:
        return next(filter(None, (_forked(wave) for wave in waves if wave)), "")
    finally:
        target.write_bytes(source)


def _forked(tests: Sequence[str]) -> str:
    output = Path(".outcome")
    child = os.fork()
    if not child:
        code = 9
        try:
            os.setsid()
            sink = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            code = _tested(tests)
        finally:
            os._exit(code)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return _said(output, os.waitstatus_to_exitcode(status))
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "time ran out"


def _tested(tests: Sequence[str]) -> int:
    for name in [name for name in sys.modules if name.partition(".")[0] in PROJECT]:
        del sys.modules[name]
    sys.path[:] = [str(Path.cwd()), *(path for path in sys.path if not Path(path or ".", "bench").is_dir())]
    return int(sys.modules["pytest"].main(["-q", "-x", "-p", "no:cacheprovider", "--tb=no", *tests]))


def _said(output: Path, code: int) -> str:
    if code == 0:
        return ""
    lines = [line for line in output.read_text(errors="replace").splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0][:100] if lines else f"pytest ended with {code}"
