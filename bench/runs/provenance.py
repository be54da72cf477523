"""Where a number comes from: code, suite, versions and machine."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.suite.plugins import ROOT

PACKAGES = ("torch", "torchvision", "ptflops", "snakemake", "numpy", "scipy", "scikit-learn", "pandas")


@cache
def origin(device: str) -> dict[str, Any]:
    """The code and machine that make this process's records; ``device`` is cpu or cuda."""
    return {
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": sys.version.split()[0],
        "torch": version("torch"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        **(_gpu() if device == "cuda" else {"device": device}),
    }


def provenance(suite_file: Path, records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the tables of a suite depend on, as JSON values; ``origins`` lists each distinct origin of the records."""
    origins: list[dict[str, Any]] = []
    for record in records:
        if record["origin"] not in origins:
            origins.append(record["origin"])
    return {
        "suite_file": suite_file.name,
        "suite_sha256": hashlib.sha256(suite_file.read_bytes()).hexdigest(),
        "collected_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {name: version(name) for name in PACKAGES},
        "latency_threads": 1,
        "macs_counter": "ptflops, pytorch backend; torch's FlopCounterMode where runs.csv says so",
        "origins": origins,
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _gpu() -> dict[str, Any]:
    """The GPU's name, as the device, and how it computes."""
    from bench.training.arithmetic import settings

    found = settings()
    return {"device": found.pop("gpu")} | found
