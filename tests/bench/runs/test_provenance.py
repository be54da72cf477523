"""Where numbers come from is written down with them."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy
import pytest
import torch

from bench.runs import provenance
from bench.suite.plugins import ROOT
from tests.gpu.pretended import pretended

TORCH = torch.__version__.partition("+")[0]
"""Without what it was built for."""


@pytest.fixture(autouse=True)
def _asked_again():
    provenance.origin.cache_clear()
    yield
    provenance.origin.cache_clear()


def test_an_origin_names_code_versions_and_machine():
    found = provenance.origin("cpu")
    head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert found["commit"] == (head or "unknown")
    assert found["python"] == platform.python_version() == sys.version.split()[0]
    assert (found["torch"], found["cpu_count"], found["device"]) == (TORCH, os.cpu_count(), "cpu")
    assert found["system"] == f"{platform.system()} {platform.machine()}" and found["cpu"]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(("status", "changed"), [("", False), (" M bench/answers/tables.py", True)])
def test_uncommitted_changes_are_told(monkeypatch, status, changed):
    answers = {"rev-parse": "abc", "status": status}
    monkeypatch.setattr(provenance, "_git", lambda command, *_: answers[command])
    monkeypatch.setattr(provenance, "_gpu", lambda: {"device": "a GPU"})
    found = provenance.origin("cuda")
    assert (found["commit"], found["uncommitted_changes"], found["device"]) == ("abc", changed, "a GPU")


def test_a_gpu_is_described(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with pretended():
        found = provenance.origin("cuda")
    assert (found["device"], found["tf32"]) == ("Pretended GPU", torch.backends.cudnn.allow_tf32)
    assert found["deterministic"] == torch.are_deterministic_algorithms_enabled()
    assert found["cublas_workspace"] == ":4096:8" and found["cuda"] == torch.version.cuda and "driver" in found
    assert found["cudnn"] == torch.backends.cudnn.version()


def test_without_git_the_commit_is_unknown(monkeypatch):
    monkeypatch.setattr(provenance, "_git", lambda *_: "")
    found = provenance.origin("cpu")
    assert (found["commit"], found["uncommitted_changes"]) == ("unknown", False)


def test_untracked_files_are_no_change_and_changed_ones_are(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x", *command], cwd=tmp_path, check=True)
    (tmp_path / "new").touch()
    first = provenance.origin("cpu")
    assert len(first["commit"]) == 40 and not first["uncommitted_changes"]
    subprocess.run(["git", "add", "new"], cwd=tmp_path, check=True)
    provenance.origin.cache_clear()
    assert provenance.origin("cpu")["uncommitted_changes"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("processor : 0\nmodel name\t: A CPU @ 2 GHz\nmodel name\t: B\n", "A CPU @ 2 GHz"), ("x : y\n", "unknown")],
)
def test_the_cpu_is_the_first_that_the_system_names(monkeypatch, text, name):
    monkeypatch.setattr(provenance.Path, "read_text", lambda self: text)
    assert provenance._cpu() == name


@pytest.mark.parametrize(("asked", "name"), [("arm", "arm"), ("", "unknown")])
def test_where_the_system_has_no_list_of_cpus_python_is_asked(monkeypatch, asked, name):
    monkeypatch.setattr(provenance, "Path", lambda _: ROOT / "no such file")
    monkeypatch.setattr(provenance.platform, "processor", lambda: asked)
    assert provenance._cpu() == name


def test_each_different_origin_is_there_once(tmp_path):
    suite = tmp_path / "mine.yaml"
    suite.write_bytes(b"suite: mine\n")
    records = [{"origin": {"commit": name}} for name in "abacb"]
    found = provenance.provenance(suite, records)
    assert found["origins"] == [{"commit": "a"}, {"commit": "b"}, {"commit": "c"}]
    assert found["suite_file"] == "mine.yaml" and found["suite_sha256"] == hashlib.sha256(b"suite: mine\n").hexdigest()
    assert found["packages"]["numpy"] == numpy.__version__ and found["packages"]["torch"] == TORCH
    assert found["latency_threads"] == 1 and "ptflops" in found["macs_counter"]
    assert set(found["packages"]) >= {"torch", "torchvision", "ptflops", "numpy", "scipy", "scikit-learn", "pandas"}
    assert len(found["collected_at"]) == len("2020-01-01T00:00:00+00:00")
    assert abs(datetime.fromisoformat(found["collected_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
