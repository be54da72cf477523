"""A suite of 10,000 runs, one job each, is planned in seconds, and one method more plans the jobs of that method."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench.suite.loading import load_suite

ROOT = Path(__file__).parents[2]
MODELS = [{"name": "lenet"}, *({"name": "plain", "depth": depth} for depth in (4, 6, 8, 10, 14))]
MODELS += [{"name": "resnet", "depth": depth} for depth in (8, 14)]
METHODS = {
    f"{criterion}+{recovery}": {"criterion": criterion, "recovery": recovery}
    for criterion in ("nisp", "nisp_uniform", "random", "magnitude", "thinet")
    for recovery in ("none", "recalibrate", "finetune", "scratch_e", "scratch_b")
}
pytestmark = pytest.mark.slow

SUITE = {
    "suite": "large",
    "title": "Large",
    "datasets": [{"name": "digits"}],
    "training": {"default": {"epochs": 2, "batch_size": 64, "learning_rate": 0.1}},
    "finetune": {"epochs": 1},
    "methods": METHODS,
    "experiments": [
        {
            "name": "all",
            "models": MODELS,
            "seeds": list(range(10)),
            "ratios": [0.1, 0.3, 0.5, 0.7, 0.9],
            "methods": list(METHODS),
        }
    ],
}
SECONDS = 30
"""Of one processor; 11 on an idle AMD EPYC."""
MEGABYTES = 1024


MEASURED = """
import resource, subprocess, sys

done = subprocess.run(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print("used", used.ru_utime, used.ru_maxrss / 1024)
sys.exit(done.returncode)
"""
"""A small process between, since a peak counts what the parent held when it forked, here torch and all the tests."""


def planned(suite, results):
    """Rule -> jobs of a dry run, the seconds of processor that it took, and its largest memory in megabytes."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--config"]
    command += [f"suite={suite}", f"results={results}"]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)
    seconds, megabytes = map(float, done.stdout.splitlines()[-1].split()[1:])
    return {rule: int(count) for rule, count in counts}, seconds, megabytes


def pretend_to_have_run(suite, root):
    """Files as a run leaves them, each newer than what it is made of."""
    files = [root / "data/digits.safetensors", root / "latency.json"]
    files += [root.joinpath("bases", *job).with_name(f"{job[-1]}.json") for job in suite.base_jobs]
    files += [root.joinpath("batches", *job).with_name(f"{job[-1]}.json") for job in suite.prune_jobs]
    files += [root / f"tables/{name}" for name in ("runs.csv", "curves.csv", "provenance.json")]
    files += [root / f"tables/{name}" for name in ("verdicts.csv", "stability.csv", "verdicts.txt")]
    for file in [*files, root / "figures/captions.json", root / "report.html"]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")


def test_ten_thousand_runs_are_planned_in_seconds_and_a_new_method_costs_its_own_jobs(tmp_path):
    file, results = tmp_path / "large.yaml", tmp_path / "results"
    file.write_text(yaml.safe_dump(SUITE))
    jobs, seconds, megabytes = planned(file, results)
    print(f"{seconds:.1f} s, {megabytes:.0f} MB")
    assert jobs["prune"] == 10_000 and jobs["base"] == 80
    assert seconds < SECONDS and megabytes < MEGABYTES

    pretend_to_have_run(load_suite(file), results / "large")
    more = {**SUITE, "methods": {**METHODS, "new": {"criterion": "random"}}}
    more["experiments"] = [{**SUITE["experiments"][0], "methods": [*METHODS, "new"]}]
    file.write_text(yaml.safe_dump(more))
    jobs, seconds, _ = planned(file, results)
    # 8 models x 10 seeds x 5 ratios; then the tables, from the suite and its records.
    assert jobs == {"prune": 400, "collect": 1, "analyse": 1, "draw": 1, "report": 1, "all": 1, "total": 405}
    assert seconds < SECONDS
