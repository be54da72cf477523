"""Photographs and the networks of ImageNet through the whole DAG, small and short."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import write_photographs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MODELS = [
    {"name": "alexnet"},
    {"name": "googlenet"},
    {"name": "resnet_imagenet", "depth": 34},
    {"name": "resnet_imagenet", "depth": 50},
]
SUITE = {
    "suite": "photographs",
    "title": "Photographs",
    "datasets": [{"name": "imagenet", "image_size": 64}],
    "training": {"default": {"epochs": 1, "batch_size": 7, "learning_rate": 0.01, "augment": ["resized_crop", "flip"]}},
    "finetune": {"epochs": 1},
    "calibration_images": 16,
    "large_batch": 2,
    "methods": {
        "nisp": {"criterion": "nisp", "recovery": "recalibrate"},
        "random+finetune": {"criterion": "random", "recovery": "finetune"},
    },
    "experiments": [
        {"name": "all", "models": MODELS, "seeds": [0], "ratios": [0.5], "methods": ["nisp", "random+finetune"]}
    ],
    "bundle": ["seed", "method", "ratio"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    write_photographs(folder / "data/imagenet")
    (folder / "suite.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
    return folder


def run(folder, *arguments):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", ROOT / "Snakefile"]
    command += ["--directory", folder, *arguments, "--config", "suite=suite.yaml", "results=results", "data=data"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def finished(folder):
    done = run(folder)
    assert done.returncode == 0, done.stderr
    yield folder / "results/photographs"
    shutil.rmtree(folder / "results/photographs/bases")  # half a gigabyte


def test_the_networks_of_imagenet_go_through_to_the_report(finished):
    runs = pd.read_csv(finished / "tables/runs.csv")
    assert len(runs) == 4 * 2 and set(runs["dataset"]) == {"imagenet"}
    assert runs["removal_error"].max() < 1e-9 and (runs["macs"] < runs["macs_base"]).all()
    assert runs["top5_final"].isna().all(), "of three classes"
    curves = pd.read_csv(finished / "tables/curves.csv")
    assert len(curves) == 4 * 2 and set(curves["method"]) == {"random+finetune"}
    captions = json.loads((finished / "figures/captions.json").read_text())
    assert {"accuracy_vs_macs", "convergence", "latency_vs_macs"} <= captions.keys()
    assert "The axis starts at 0 %" in captions["convergence"] or curves["test_top1"].min() > 70
    page = (finished / "report.html").read_text()
    assert "data:image/png;base64," in page and "± nan" not in page


def test_images_are_listed_not_copied(folder, finished):
    images = sum(file.stat().st_size for file in (folder / "data").rglob("*.JPEG"))
    assert (finished / "data/imagenet.safetensors").stat().st_size < images / 10


def test_another_resolution_makes_everything_anew(folder, finished):
    other = {**SUITE, "datasets": [{"name": "imagenet", "image_size": 80}]}
    (folder / "suite.yaml").write_text(yaml.safe_dump(other, sort_keys=False))
    planned = run(folder, "-n").stdout
    (folder / "suite.yaml").write_text(yaml.safe_dump(SUITE, sort_keys=False))
    assert all(re.search(rf"^{rule} +{count}$", planned, re.M) for rule, count in (("data", 1), ("base", 4))), planned


def test_a_broken_photograph_ends_a_job_in_one_sentence(folder, tmp_path):
    write_photographs(tmp_path / "data/imagenet")
    shutil.copy(folder / "suite.yaml", tmp_path)
    file = tmp_path / "data/imagenet/train/n00000000/n00000000_0.JPEG"
    file.write_bytes(file.read_bytes()[:500])
    done = run(tmp_path, "results/photographs/bases/imagenet/googlenet/all.json")
    assert done.returncode == 1 and f"error: the image {file} is truncated or not a JPEG" in done.stderr
    assert "Traceback" not in done.stderr
