"""Measure how fast networks are trained, and write results/reference/speed/training.csv.

Prints the table of docs/performance.md.

    python -m benchmarks.speed --threads 2 --pairs 5

Loops take turns, each in a process of its own, so that a busy machine slows all equally. A ratio is the median over
rounds of the suite's images per second over the other loop's in the same round.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.runs.provenance import origin

FOLDER = Path("results/reference/speed")
NETWORKS = (("cifarnet", 0), ("resnet", 20), ("resnet", 56))
LOOPS = (("plain", "fp32"), ("suite", "fp32"), ("suite", "bf16"), ("in_place", "bf16"))
SUITE = ("suite", "bf16")


def main() -> None:
    """Measure all networks and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    rows = [row for network in NETWORKS for row in measured(*network, given.threads, given.pairs)]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "training.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(as_markdown(rows))


def measured(family: str, depth: int, threads: int, pairs: int) -> list[dict[str, object]]:
    """One row per loop: median images per second, and the median ratio of the suite's bf16 loop to it."""
    rates: dict[tuple[str, str], list[float]] = {loop: [] for loop in LOOPS}
    for turn in range(pairs):
        for loop in LOOPS[:: 1 if turn % 2 == 0 else -1]:
            rates[loop].append(_rate(loop, family, depth, threads))
            print(f"{family}-{depth} round {turn + 1}: {' '.join(loop)} {rates[loop][-1]:.0f}", file=sys.stderr)
    made = origin("cpu")
    machine = {"cpu": made["cpu"], "torch": made["torch"].partition("+")[0]}
    return [
        {
            "network": family if not depth else f"{family}-{depth}",
            "loop": loop,
            "precision": precision,
            "threads": threads,
            "pairs": pairs,
            "images_per_second": round(statistics.median(rates[loop, precision]), 1),
            "suite_over_it": _ratio(rates, (loop, precision), statistics.median),
            "lowest": _ratio(rates, (loop, precision), min),
            "highest": _ratio(rates, (loop, precision), max),
            **machine,
        }
        for loop, precision in LOOPS
    ]


def _ratio(rates: dict, loop: tuple[str, str], chosen: object) -> float:  # type: ignore[type-arg]
    return round(chosen([a / b for a, b in zip(rates[SUITE], rates[loop], strict=True)]), 3)  # type: ignore[operator]


def _rate(loop: tuple[str, str], family: str, depth: int, threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.speed.training", loop[0], family, str(depth), loop[1], str(threads)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout)


def as_markdown(rows: list[dict[str, object]]) -> str:
    """The table of docs/performance.md."""
    lines = [
        "| network | loop | precision | images per second | the suite in bf16 is … times as fast (lowest to highest) |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{float(row['suite_over_it']):.2f} ({float(row['lowest']):.2f} to {float(row['highest']):.2f})"  # type: ignore[arg-type]
        rate = f"{float(row['images_per_second']):,.0f}"  # type: ignore[arg-type]
        lines.append(f"| {row['network']} | {row['loop']} | {row['precision']} | {rate} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
