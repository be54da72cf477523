"""Memory that a job frees stays with it, where the C library can do that."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bench.runs import allocation

SCRIPT = """
import resource, sys, torch
from bench.runs.allocation import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
torch.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    torch.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives large tensors back")
def test_the_system_fills_pages_of_zeros_once():
    """Fifty tensors of 32 MB, one after the other: faults of pages with and without keeping memory."""
    faults = {}
    for how in ("keep", "plain"):
        command = [sys.executable, "-c", SCRIPT, how]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        faults[how] = int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert 4 * faults["keep"] < faults["plain"], faults


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: object())
    assert not allocation.keep_memory()
