"""GPU jobs on this machine, and the profiles of schedulers that are not here, by stand-ins for their commands."""

import importlib.util
import json
import os
import subprocess
from itertools import combinations

import pytest

from tests.workflow.test_workflow import ROOT, project, snakemake  # noqa: F401

BASES = [f"bases/digits/{label}/all.json" for label in ("lenet", "plain-4")]
RUN_LAST = """#!/bin/bash
# Runs the job script, its last argument, in the background; the id is the process's, the exit status goes to a file.
echo "$*" >> "$STAND_IN/asked"
( bash "${@: -1}" > "$STAND_IN/$$.out" 2>&1; echo $? > "$STAND_IN/$$.code" ) > /dev/null 2>&1 &
"""
CODE = '#!/bin/bash\nfor id; do :; done\ncode=$(cat "$STAND_IN/$id.code" 2> /dev/null)\n'
STAND_INS = {
    "sge": {
        "qsub": RUN_LAST + "echo $$",
        "qstat": CODE + '[ -z "$code" ]',
        "qacct": CODE + 'echo "failed       0    "; echo "exit_status  $code    "',
    },
    "lsf": {
        "bsub": RUN_LAST + 'echo "Job <$$> is submitted to default queue <normal>."',
        "bjobs": CODE + 'case "$code" in "") echo RUN ;; 0) echo DONE ;; *) echo EXIT ;; esac',
    },
    "kubernetes": {
        "kubectl": """#!/usr/bin/env python3
import json, os, subprocess, sys
folder = os.environ["STAND_IN"]
if sys.argv[1] == "create":
    job = json.load(sys.stdin)
    with open(f"{folder}/asked", "a") as file:
        print(json.dumps(job), file=file)
    container = job["spec"]["template"]["spec"]["containers"][0]
    wait = 'cd "$0" && "$@"; echo $? > "$STAND_IN/$$.code"'
    child = subprocess.Popen(["bash", "-c", wait, container["workingDir"], *container["command"]],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    print(f"job.batch/{child.pid}")
else:
    name = sys.argv[sys.argv.index("--namespace") + 2]
    try:
        code = open(f"{folder}/{name}.code").read().strip()
        print({"": "", "0": "SuccessCriteriaMet Complete"}.get(code, "FailureTarget Failed"))
    except FileNotFoundError:
        print()
"""
    },
}
first, *others = STAND_INS
ASKED = {
    "sge": "-pe smp 1 -l mem_free=$(( 2005 / 1 ))M",
    "lsf": "-n 1 -R span[hosts=1] rusage[mem=2005MB] -W 11 -gpu num=1",
    "kubernetes": '"limits": {"memory": "2005M", "nvidia.com/gpu": "1"}',
}


def times(folder):
    """Start and end of the work of each base job."""
    marks = list(folder.rglob("bases/**/*.json"))
    return [(mark.stat().st_mtime - json.loads(mark.read_text())["seconds"], mark.stat().st_mtime) for mark in marks]


def overlapping(intervals):
    return any(a[0] < b[1] and b[0] < a[1] for a, b in combinations(intervals, 2))


def bases(project, results, *options):  # noqa: F811
    targets = [f"{results}/tiny/{base}" for base in BASES]
    return snakemake(project, *targets, *options, "--config", f"results={results}")


@pytest.fixture
def computing_on_cpus(project):  # noqa: F811
    """Jobs that are given a GPU that is named only, and compute on the CPU."""
    file = project / "bench/training/devices.py"
    before = file.read_text()
    file.write_text(f"{before}\n\n_use = use\n\n\ndef use(wanted, gpus):\n    return _use('cpu', gpus)\n")
    yield
    file.write_text(before)


@pytest.mark.parametrize(("gpus", "at_once"), [("0", False), pytest.param("0,1", True, marks=pytest.mark.slow)])
def test_no_more_jobs_run_at_once_than_there_are_gpus(project, computing_on_cpus, monkeypatch, gpus, at_once):  # noqa: F811
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    bases(project, f"gpus_{len(gpus)}")
    assert overlapping(times(project / f"gpus_{len(gpus)}")) == at_once


@pytest.mark.slow
def test_more_jobs_share_a_gpu_if_told_to(project, computing_on_cpus, monkeypatch):  # noqa: F811
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    bases(project, "shared", "--resources", "gpu=2")
    assert overlapping(times(project / "shared"))


@pytest.mark.slow
def test_a_gpu_that_is_demanded_and_not_there_is_one_sentence(project, monkeypatch):  # noqa: F811
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    output = snakemake(project, f"none/tiny/{BASES[0]}", "--config", "results=none", "device=cuda", code=1)
    assert "error: the config has device: cuda, but torch cannot use one (" in output
    assert 'File "/' not in output.partition("error: the config")[0].rpartition("rule base")[2]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    def put(profile):
        for name, content in STAND_INS[profile].items():
            (tmp_path / name).write_text(content)
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("STAND_IN", str(tmp_path))
        return tmp_path

    return put


@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
    reason="snakemake-executor-plugin-cluster-generic is not installed: make setup",
)
@pytest.mark.parametrize("profile", [first, *(pytest.param(name, marks=pytest.mark.slow) for name in others)])
def test_jobs_go_through_a_schedulers_commands(project, stand_in, profile):  # noqa: F811
    folder = stand_in(profile)
    mark = f"clustered/tiny/{BASES[0]}"  # the later profiles find the trained networks of the first
    profile_of = ("--workflow-profile", f"workflow/profiles/{profile}", "--latency-wait", "5")
    output = snakemake(project, mark, "--forcerun", "base", *profile_of, "--config", "results=clustered")
    assert "Submitted job 0 with external jobid" in output and (project / mark).exists()
    asked = (folder / "asked").read_text()
    wanted = ASKED[profile].replace("$(( 2005 / 1 ))", "2005")
    assert wanted in asked, asked


@pytest.mark.parametrize("profile", STAND_INS)
@pytest.mark.parametrize(("code", "state"), [(None, "running"), (0, "success"), (1, "failed")])
def test_the_state_of_a_job_is_told(stand_in, profile, code, state):
    folder = stand_in(profile)
    if code is not None:
        (folder / "7.code").write_text(str(code))
    job = "default/7" if profile == "kubernetes" else "7"
    command = [ROOT / "workflow/profiles" / profile / "status", job]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == state
