"""A stranger's path: the README's pruner, model and data set, as printed, go in as three files and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
BLOCKS = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / "README.md").read_text(), re.S))
SUITE = {
    "suite": "mine",
    "title": "Mine",
    "datasets": [{"name": "my_images"}],
    "training": {"default": {"epochs": 2, "batch_size": 32, "learning_rate": 0.05}},
    "finetune": {"epochs": 1},
    "calibration_images": 40,
    "methods": {
        "nisp": {"criterion": "nisp", "recovery": "recalibrate"},
        "l2": {"criterion": "l2", "options": {"power": 1.0}, "recovery": "finetune"},
    },
    "experiments": [
        {"name": "all", "models": [{"name": "tiny"}], "seeds": [0, 1], "ratios": [0.5], "methods": ["nisp", "l2"]}
    ],
    "questions": [
        {
            "id": "Q", "text": "Is NISP better than L2?", "claim": "It is.", "kind": "difference",
            "metric": "top1_final", "subject": "nisp", "against": ["l2"], "models": ["tiny"], "ratios": [0.5],
        }
    ],
}  # fmt: skip
CHECKED = (
    "tests/baselines/test_criteria.py", "tests/bench/suite", "tests/bench/models", "tests/bench/data",
    "tests/test_arrows.py", "tests/test_docs.py", "tests/test_readme.py",
)  # fmt: skip
"""The tests that look at every criterion, model or data set."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger") / "project"
    ignored = shutil.ignore_patterns("__pycache__", ".venv", ".git", ".snakemake", "data", "*_cache")
    shutil.copytree(ROOT, folder, ignore=lambda where, names: ignored(where, names) if where == str(ROOT) else [])
    for name, text in BLOCKS.items():
        (folder / name).write_text(text)
    rng = np.random.default_rng(0)
    (folder / "data").mkdir()
    labels = np.arange(200) % 4
    images = rng.random((200, 3, 6, 6)) + labels[:, None, None, None]
    np.savez(folder / "data/my_images.npz", images=images, labels=labels)
    (folder / "config/suites/mine.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
    return folder


def run(project, *command):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_plan_says_which_costs_are_not_known(project):
    output = run(project, "snakemake", "-n", "--config", "suite=mine")
    assert re.search(r"not counted: .*tiny", output)


def test_they_go_through_to_the_report(project):
    run(project, "snakemake", "--cores", "2", "--config", "suite=mine")
    runs = pd.read_csv(project / "results/mine/tables/runs.csv")
    assert set(runs["method"]) == {"nisp", "l2"} and set(runs["dataset"]) == {"my_images"} and len(runs) == 4
    assert (project / "results/mine/report.html").exists()


def test_the_documentation_of_methods_is_made_with_them(project):
    page = run(project, "bench.suite.method_docs")
    assert "### l2\n\nThe L2 norm of a channel's filter.\n\n- **Options.** `power = 2.0`\n" in page


def test_the_projects_own_tests_pass_with_them(project):
    run(project, "pytest", "-p", "no:cacheprovider", "-m", "not slow", *CHECKED)
