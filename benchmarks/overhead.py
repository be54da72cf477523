"""How long a suite takes from scratch, and how much of that is not training, scoring or measuring.

    python benchmarks/overhead.py --cores 2

The suite runs in an empty directory. Each job records its working seconds (without imports and start-up);
the rest of cores x wall time is overhead: starting jobs, imports, tables, figures, and idle cores.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Run the suite once and print wall time, seconds at work, and overhead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--suite", default="embedded")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "snakemake", "--cores", str(given.cores), "--quiet", "all"]
        start = time.perf_counter()
        subprocess.run([*command, "--config", f"suite={given.suite}", f"results={folder}"], check=True)
        wall = time.perf_counter() - start
        root = Path(folder, given.suite)
        marks = [*root.glob("bases/**/*.json"), *root.glob("batches/**/*.json")]
        work = sum(json.loads(mark.read_text())["seconds"] for mark in marks)
        work += given.cores * json.loads((root / "latency.json").read_text())["seconds"]  # it holds all cores
    share = 1 - work / (given.cores * wall)
    print(f"wall {wall:.0f} s, work {work:.0f} core-seconds on {given.cores} cores, overhead {100 * share:.1f} %")


if __name__ == "__main__":
    main()
