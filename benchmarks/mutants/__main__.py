"""Draw random changes, run the tests that import the changed module, and list changes that no test noticed.

    python -m benchmarks.mutants --seed 7 --count 100 --jobs 2
    python -m benchmarks.mutants --seed 7 --count 20 --modules 'bench/answers/statistics.py' 'nisp/rules/*.py'

Modules are drawn in proportion to their lines. Each change is made in a copy of the committed files, and its tests run
until one fails: first the test file of the module's own path, then the nearest by imports, then all others that reach
it. Tests that start Snakemake (tests/workflow) are left out: they would notice a crash, and they take minutes.
"""

import argparse
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from bench.suite.plugins import ROOT
from benchmarks.mutants.changes import Change, changes
from benchmarks.mutants.reach import distances
from benchmarks.mutants.trial import first_failure, warm_up

MODULES = ("nisp/**/*.py", "baselines/*.py", "bench/**/*.py")
SHOWN_ONLY = (
    "__init__.py", "bench/figures/*", "bench/answers/report.py", "bench/runs/dashboard.py", "bench/runs/progress.py",
    "bench/suite/method_docs.py",
    "bench/runs/job_log.py", "bench/training/devices.py",
)  # fmt: skip
"""Modules that show numbers, start jobs or find GPUs, and produce no number."""


@dataclass(frozen=True)
class Outcome:
    """Whether the tests noticed a change, and the first test that did."""

    change: Change
    noticed: bool
    by: str


def main() -> None:
    """The command line."""
    options = _options()
    modules = [file for file in _files(options.modules) if not any(file.match(p) for p in SHOWN_ONLY)]
    drawn = _drawn(modules, random.Random(options.seed), options.count)  # noqa: S311 - no secret
    if options.list:
        for change in drawn:
            print(_line(change))
        return
    outcomes = _tried(drawn, options.jobs)
    print(_table(outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="fixes which changes are drawn")
    parser.add_argument("--count", type=int, default=100, help="how many changes")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--modules", nargs="+", default=MODULES, help="patterns of the files to change")
    parser.add_argument("--list", action="store_true", help="list the changes without running tests")
    return parser.parse_args()


def _files(patterns: Sequence[str]) -> list[Path]:
    found = sorted({file.relative_to(ROOT) for pattern in patterns for file in ROOT.glob(pattern)})
    if not found:
        sys.exit(f"no file matches {' '.join(patterns)}")
    return found


def _drawn(modules: Sequence[Path], rng: random.Random, count: int) -> list[Change]:
    """Changes of different lines; within a module, each kind in proportion to the square root of its number."""
    os.chdir(ROOT)
    sizes = [len(file.read_text().splitlines()) for file in modules]
    known: dict[Path, dict[str, list[Change]]] = {}
    drawn: dict[tuple[Path, int], Change] = {}
    for _ in range(100 * count):
        (file,) = rng.choices(modules, sizes)
        if file not in known:
            known[file] = {}
            for change in changes(file):
                known[file].setdefault(change.kind, []).append(change)
        if not known[file]:
            continue
        kinds = sorted(known[file])
        (kind,) = rng.choices(kinds, [len(known[file][kind]) ** 0.5 for kind in kinds])
        change = rng.choice(known[file][kind])
        drawn.setdefault((file, change.line), change)
        if len(drawn) == count:
            break
    return list(drawn.values())


def _tried(drawn: Sequence[Change], jobs: int) -> list[Outcome]:
    """Every change, tried in one of ``jobs`` copies of the committed files."""
    outcomes = []
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        copies = [str(Path(folder, str(number))) for number in range(jobs)]
        for copy in copies:
            subprocess.run(["git", "clone", "--quiet", "--local", str(ROOT), copy], check=True)
        with ProcessPoolExecutor(jobs, spawn, warm_up, (copies, spawn.Value("i", 0))) as workers:
            waiting = {workers.submit(first_failure, change, _waves(change.file)): change for change in drawn}
            for done in as_completed(waiting):
                outcomes.append(Outcome(waiting[done], bool(done.result()), done.result()))
                verdict = done.result() or "SURVIVED"
                print(f"{len(outcomes)}/{len(drawn)} {_line(waiting[done])}: {verdict}", flush=True)
    return outcomes


def _waves(module: Path) -> list[list[str]]:
    """Test files that reach ``module`` by imports: that of its own path, the nearest others, and the rest."""
    own = Path("tests", module.parent, f"test_{module.name}")
    found = {test: steps[module] for test, steps in distances().items() if module in steps}
    nearest = min(found.values(), default=0)
    waves: list[list[str]] = [[], [], []]
    for test in sorted(found, key=lambda test: (found[test], test)):
        waves[0 if test == own else 1 if found[test] == nearest else 2].append(str(test))
    return waves


def _line(change: Change) -> str:
    old, new = (" ".join(text.split())[:90] for text in (change.old, change.new))
    return f"{change.file}:{change.line} [{change.kind}] {old} -> {new}"


def _table(outcomes: Sequence[Outcome]) -> str:
    """By module, how many changes were tried and noticed; then those that were not."""
    tried, noticed = (Counter(str(o.change.file) for o in outcomes if o.noticed >= least) for least in (0, 1))
    width = max(map(len, tried), default=0)
    lines = ["", f"{'module':<{width}}  tried  noticed"]
    lines += [f"{module:<{width}}  {tried[module]:>5}  {noticed[module]:>7}" for module in sorted(tried)]
    lines.append(f"{'all':<{width}}  {tried.total():>5}  {noticed.total():>7}")
    survivors = [_line(outcome.change) for outcome in outcomes if not outcome.noticed]
    return "\n".join([*lines, "", "noticed by no test:", *(survivors or ["none"])])


if __name__ == "__main__":
    main()
