"""Checks one network in its own process, which may run out of memory, crash or hang without harm to the others.

python -m benchmarks.coverage.child {ours,peer} SOURCE MODEL RECORD GIGABYTES
"""

import contextlib
import importlib
import os
import resource
import sys
import warnings
from pathlib import Path

import torch

from benchmarks.coverage.record import Failed, Record
from benchmarks.coverage.zoo import subjects


def main(check: str, source: str, model: str, path: str, gigabytes: str) -> None:
    """Run ``benchmarks.coverage.<check>.check`` on one network with limited memory."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    limit = int(float(gigabytes) * 2**30)
    with contextlib.suppress(ValueError):  # macOS cannot limit it
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    [subject] = [subject for subject in subjects([model]) if subject.source == source]
    record = Record(Path(path))
    with contextlib.suppress(Failed):
        importlib.import_module(f"benchmarks.coverage.{check}").check(subject, record)
    record.finish()
    os._exit(0)  # freeing a graph that filled the memory can take minutes


if __name__ == "__main__":
    os.environ.setdefault("TIMM_FUSED_ATTN", "0")  # as torch-pruning's example for timm sets it; the result is the same
    main(*sys.argv[1:])
