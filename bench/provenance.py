"""Where a table comes from: code, suite, versions and machine."""

import hashlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.plugins import ROOT

PACKAGES = ("torch", "torch-pruning", "ptflops", "snakemake", "numpy", "scipy", "scikit-learn", "pandas")


def provenance(suite_file: Path) -> dict[str, object]:
    """All that a number depends on, as JSON values."""
    return {
        "suite_file": suite_file.name,
        "suite_sha256": hashlib.sha256(suite_file.read_bytes()).hexdigest(),
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "collected_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cpu_count": os.cpu_count(),
        "latency_threads": 1,
        "macs_counter": "ptflops, pytorch backend",
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
