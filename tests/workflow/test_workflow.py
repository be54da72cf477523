"""The DAG end to end, on a copy of the project to which one pruner is added as one file."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[2]
MEASURED_TIMES = (
    "latency_base_ms",
    "latency_ms",
    "latency_large_base_ms",
    "latency_large_ms",
    "score_seconds",
    "seconds",
)
TOY = '''"""Toy: keep the first channels."""

import torch


def score(problem):
    return {group.name: torch.arange(group.channels, 0, -1.0) for group in problem.groups}
'''
SUITE = {
    "suite": "tiny",
    "title": "Tiny",
    "datasets": [{"name": "digits"}],
    "training": {"default": {"epochs": 2, "batch_size": 64, "learning_rate": 0.1}},
    "finetune": {"epochs": 1},
    "calibration_images": 60,
    "methods": {
        "nisp": {"criterion": "nisp", "recovery": "recalibrate"},
        "toy": {"criterion": "toy", "recovery": "recalibrate"},
        "toy+ls+finetune": {"criterion": "toy", "reconstruction": "least_squares", "recovery": "finetune"},
    },
    "experiments": [
        {
            "name": "all",
            "models": [{"name": "lenet"}, {"name": "plain", "depth": 4}],
            "seeds": [0, 1, 2],
            "ratios": [0.25, 0.5],
            "methods": ["nisp", "toy", "toy+ls+finetune"],
        }
    ],
    "questions": [
        {
            "id": "RQ1", "text": "Is NISP better than a toy?", "claim": "It is.", "kind": "difference",
            "metric": "top1_final", "subject": "nisp", "against": ["toy"], "models": ["lenet", "plain-4"],
            "ratios": [0.25, 0.5],
        }
    ],
    "bundle": ["seed", "method", "ratio"],
}  # fmt: skip


def start(project, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def snakemake(project, *arguments, code=0):
    process = start(project, *arguments)
    output = process.communicate(timeout=600)[0]
    assert process.returncode == code, output
    return output


def tables(project, results="results"):
    folder = project / results / "tiny/tables"
    frames = {name: pd.read_csv(folder / f"{name}.csv") for name in ("runs", "curves", "verdicts")}
    return {name: frame.drop(columns=frame.columns.intersection(MEASURED_TIMES)) for name, frame in frames.items()}


def write_suite(project, content):
    (project / "config/suites/tiny.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy") / "project"
    folder.mkdir()
    for name in ("nisp", "baselines", "bench", "workflow", "config", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder)
    (folder / "baselines/toy.py").write_text(TOY)
    write_suite(folder, SUITE)
    (folder / "config/config.yaml").write_text(yaml.safe_dump({"suite": "tiny", "results": "results", "data": "data"}))
    return folder


@pytest.fixture(scope="module")
def finished(project):
    return snakemake(project)


def test_a_dry_run_plans_without_doing(project):
    output = snakemake(project, "-n", "--config", "results=planned")
    assert "prune          2" in output and not (project / "planned").exists()


def test_a_home_directory_is_meant_by_a_tilde(project, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(project / "config/suites/tiny.yaml", tmp_path / "mine.yml")
    output = snakemake(project, "-n", "--config", "suite=~/mine.yml", "results=~/x", "data=~/d")
    assert f"{tmp_path}/x/tiny/report.html" in output and ": ~/" not in output
    snakemake(project, "--config", "suite=~/mine.yml", "results=~/x", "data=~/d", "--until", "data")
    assert (tmp_path / "x/tiny/data/digits.safetensors").exists() and not (project / "~").exists()


def test_one_command_leaves_tables_figures_and_report(project, finished):
    results = project / "results/tiny"
    runs = pd.read_csv(results / "tables/runs.csv")
    assert len(runs) == 2 * 3 * 2 * 3 and set(runs["method"]) == {"nisp", "toy", "toy+ls+finetune"}
    assert runs["removal_error"].max() < 1e-9 and (runs["macs"] < runs["macs_base"]).all()
    assert (runs["top5_final"] >= runs["top1_final"]).all()
    curves = pd.read_csv(results / "tables/curves.csv")
    assert set(curves["method"]) == {"toy+ls+finetune"} and set(curves["epoch"]) == {0, 1}
    drawn = {file.name for file in (results / "figures").iterdir()}
    for name in ("verdict_forest", "accuracy_vs_macs", "convergence", "latency_vs_macs"):
        assert {f"{name}.pdf", f"{name}.png"} <= drawn
    page = (results / "report.html").read_text()
    assert "Is NISP better than a toy?" in page and "data:image/png;base64," in page
    assert "http://" not in page and "https://" not in page
    assert "RQ1: Is NISP better than a toy?" in finished and "report is results/tiny/report.html" in finished


def test_running_again_does_no_work(project, finished):
    assert "Nothing to be done" in snakemake(project)


def test_figures_are_drawn_again_from_the_tables(project, finished):
    folder = project / "results/tiny/figures"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    shutil.rmtree(folder)
    output = snakemake(project, "figures")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert "rule prune" not in output


@pytest.mark.parametrize(
    ("file", "old", "new", "made_again"),
    [
        ("nisp/rankings/inf_fs.py", "DAMPING = 0.9", "DAMPING = 0.1", {"prune"}),
        (
            "bench/runs/bases.py",
            'stream(seed, "initialisation")',
            'stream(seed + 100, "initialisation")',
            {"base", "prune"},
        ),
        (
            "bench/runs/stored_tensors.py",
            "load_state_dict(tensors)",
            "load_state_dict(tensors, strict=False)",
            {"prune"},
        ),
        ("bench/answers/statistics.py", "RESAMPLES = 9999", "RESAMPLES = 999", {"analyse"}),
        ("bench/suite/questions.py", '"""A claim, ', '"""A bold claim, ', set()),
        ("nisp/rankings/inf_fs.py", '"""Infinite feature selection', '"""Feature selection without end', set()),
        (
            "bench/runs/experiment.py",
            "    setup = Setup(",
            "    # all that the stages share\n    setup = Setup(",
            set(),
        ),
    ],
    ids=["ranking", "seed", "tensors", "statistics", "question", "docstring", "comment"],
)
def test_code_that_decides_a_number_is_noticed_and_no_other(project, finished, file, old, new, made_again):
    path = project / file
    text = path.read_text()
    assert text.count(old) == 1
    try:
        path.write_text(text.replace(old, new))
        output = snakemake(project, "-n", "--quiet", "host")
    finally:
        path.write_text(text)
    for rule in ("data", "base", "prune", "analyse"):
        is_again = f"rule {rule}:" in output
        assert is_again or rule not in made_again, output
    assert made_again or "Nothing to be done" in output


@pytest.mark.slow
def test_a_new_method_costs_its_own_runs_only(project, finished):
    def ages():
        return {file: file.stat().st_mtime_ns for file in (project / "results/tiny/records").rglob("*.json")}

    before, table = ages(), tables(project)
    more = yaml.safe_load(yaml.safe_dump(SUITE))
    more["methods"]["random"] = {"criterion": "random", "recovery": "recalibrate"}
    more["experiments"][0]["methods"].append("random")
    write_suite(project, more)
    snakemake(project)
    after = ages()
    assert len(after) == len(before) + 12 and all(after[file] == age for file, age in before.items())
    write_suite(project, SUITE)
    snakemake(project)
    for name, frame in tables(project).items():
        pd.testing.assert_frame_equal(frame, table[name])


@pytest.mark.slow
def test_more_seeds_cost_their_own_runs_only(project, finished):
    records = {file: file.stat().st_mtime_ns for file in (project / "results/tiny/records").rglob("*.json")}
    before = tables(project)["runs"]
    snakemake(project, "tables", "--config", "seeds=4")
    assert all(file.stat().st_mtime_ns == time for file, time in records.items())
    runs, verdicts = (tables(project)[name] for name in ("runs", "verdicts"))
    pd.testing.assert_frame_equal(runs[runs["seed"] < 3].reset_index(drop=True), before)
    assert set(runs["seed"]) == {0, 1, 2, 3} and len(runs) == len(before) * 4 / 3
    assert set(verdicts["n_seeds"]) == {4}
    snakemake(project, "tables")
    pd.testing.assert_frame_equal(tables(project)["runs"], before)


@pytest.mark.slow
def test_killed_and_started_again_it_gives_the_same_tables(project, finished):
    """Twice: while base networks are trained, and while runs are recorded."""
    option = ("--config", "results=killed")
    for sign in ("killed/tiny/bases/**/*.safetensors", "killed/tiny/records/**/*.json"):
        process = start(project, *option)
        deadline = time.monotonic() + 300
        while not list(project.glob(sign)) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()[0]
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert not (project / "killed/tiny/tables/runs.csv").exists()
        snakemake(project, *option, "--unlock")
    snakemake(project, *option)
    for name, frame in tables(project, "killed").items():
        pd.testing.assert_frame_equal(frame, tables(project)[name])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"experiments": [{**SUITE["experiments"][0], "ratios": [1.2]}]},
            "experiments.0.ratios.0: Input should be less than 1",
        ),
        ({"methods": {"nisp": {"criterion": "nips"}}}, "criterion 'nips' is unknown: choose one of"),
    ],
)
def test_a_mistake_in_the_suite_is_one_sentence_before_any_job(project, change, told):
    file = project / "config/suites/wrong.yaml"
    file.write_text(yaml.safe_dump(SUITE | change))
    output = snakemake(project, "--config", "suite=wrong", "results=wrong", code=1)
    file.unlink()
    assert told in output and "wrong.yaml" in output
    assert "Traceback" not in output and "rule " not in output and not (project / "wrong").exists()


def test_an_unknown_suite_is_told_with_those_there_are(project):
    output = snakemake(project, "--config", "suite=nothing", code=1)
    assert "there is no suite file" in output and "Traceback" not in output
    assert "embedded, " in output and ", tiny" in output
