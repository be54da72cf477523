"""The suite on a real SLURM of one node with a stand-in GPU, while jobs are cancelled, killed, lost and out of time.

`.ci/slurm start` sets one up on this machine; without it these tests are skipped.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.bench.training.test_distributed import checkpointed
from tests.workflow.test_workflow import SUITE, TOY, project, snakemake, tables, write_suite  # noqa: F401

FINISHED = Path("/var/log/slurm/finished.txt")
ADMIN = [] if os.geteuid() == 0 else ["sudo", "-n"]
STALLING = """
    stall = Path("stall")
    if stall.exists():
        stall.unlink()
        Path("stalled").write_text(os.environ["SLURM_JOB_ID"])
        time.sleep(600)
    return"""
ONE_A_SEED = {
    **SUITE,
    "training": {
        "default": {"epochs": 12, "batch_size": 64, "learning_rate": 0.1},
        "models": {"lenet": {"epochs": 40, "learning_rate": 0.05}},
    },
    "experiments": [{**SUITE["experiments"][0], "seeds": [0, 1], "ratios": [0.5]}],
    "questions": [{**SUITE["questions"][0], "ratios": [0.5]}],
    "bundle": ["method", "ratio"],
}


def ours():
    """Whether the SLURM of .ci/slurm answers; never another one, which would not like its jobs killed."""
    if shutil.which("scontrol") is None:
        return False
    done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, timeout=60)
    return re.search(r"^ClusterName\s*= nisp-ci$", done.stdout, re.M) is not None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ours(), reason="no SLURM for tests is running: `.ci/slurm start` sets one up"),
]


def squeue(form="%i|%T|%k"):
    done = subprocess.run(["squeue", "--noheader", f"--format={form}"], capture_output=True, text=True, check=True)
    return [line.split("|") for line in done.stdout.splitlines()]


def running(rule):
    """Ids of SLURM jobs of a rule that are running."""
    return [job for job, state, comment in squeue() if state == "RUNNING" and comment.startswith(f"rule_{rule}")]


def scripts_of(job):
    """Processes that do the work of a SLURM job: those that run a rule's script."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"SLURM_JOB_ID={job}\0".encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().split(b"\0")
                if len(command) > 1 and b"/.snakemake/scripts/" in command[1]:
                    yield int(folder.name)


def steps_of(job):
    """Whether anything of a SLURM job is left on the node."""
    done = subprocess.run(["pgrep", "-f", rf"^slurmstepd: \[{job}\."], capture_output=True)
    return done.returncode == 0


def kill_what_is_left(folder):
    """Processes of a lost node's jobs, which a SLURM without cgroups loses sight of."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment, command = ((entry / name).read_bytes() for name in ("environ", "cmdline"))
            if b"SLURM_JOB_ID=" in environment and bytes(folder) in command:
                subprocess.run([*ADMIN, "kill", "-KILL", entry.name], capture_output=True)


def epochs_saved(checkpoint):
    try:
        return len(checkpointed(checkpoint)["curve"])
    except Exception:  # there is none yet, or it was replaced while it was read
        return 0


class Trouble:
    """Each of `still` happens once, as soon as there is a job for it to happen to."""

    def __init__(self, folder):
        self.folder = folder
        self.still = {"lost", "killed", "cancelled", "late"}
        self.checkpoint, self.epochs, self.resumed = None, 0, 0

    def stir(self):
        for name in sorted(self.still):
            if getattr(self, name)():
                self.still.remove(name)
        if self.checkpoint and not self.resumed:
            epochs = epochs_saved(self.checkpoint)
            self.resumed = epochs if epochs != self.epochs else 0

    def lost(self):
        """The node goes down while a network is trained; SLURM queues its jobs again."""
        for file in (self.folder / "results/tiny/bases").rglob("*.checkpoint"):
            if epochs_saved(file) > 4 and len(running("base")) == 1:
                [job] = running("base")
                assert set_node("state=down", "reason=test") == 0
                self.checkpoint, self.epochs = file, epochs_saved(file)
                while steps_of(job) or [job, "PENDING"] not in squeue("%i|%T"):
                    time.sleep(0.2)
                set_node("state=resume")  # which it may have done by itself
                self.tell(job, "starttime=now")  # not two minutes later
                return True
        return False

    def killed(self):
        """A job's process is killed, as by the kernel when memory is short."""
        processes = [] if self.checkpoint is None else [p for job in running("base") for p in scripts_of(job)]
        for process in processes:
            subprocess.run([*ADMIN, "kill", f"-{signal.SIGKILL:d}", str(process)], check=True)
        return processes != []

    def cancelled(self):
        """Someone cancels a job."""
        jobs = [job for job in running("prune") if job != self.stalled()]
        if jobs and self.stalled():
            subprocess.run(["scancel", jobs[0]], check=True)
        return jobs != [] and self.stalled() is not None

    def late(self):
        """A job's time is over."""
        if self.stalled():
            self.tell(self.stalled(), "timelimit=1")
        return self.stalled() is not None

    def tell(self, job, setting):
        subprocess.run([*ADMIN, "scontrol", "update", f"jobid={job}", setting], check=True)

    def stalled(self):
        """Id of the job that was told to stall, or None."""
        file = self.folder / "stalled"
        return (file.read_text() or None) if file.exists() else None


def set_node(*settings):
    node = subprocess.run(["hostname", "-s"], capture_output=True, text=True, check=True).stdout.strip()
    return subprocess.run([*ADMIN, "scontrol", "update", f"nodename={node}", *settings], capture_output=True).returncode


@pytest.fixture(scope="module")
def local(project):  # noqa: F811
    """The tables of a run on this machine, and the project set up for SLURM."""
    (project / "baselines/toy.py").write_text(
        TOY.replace("import torch", "import os\nimport time\nfrom pathlib import Path\n\nimport torch").replace(
            "\n    return", STALLING
        )
    )
    write_suite(project, ONE_A_SEED)
    snakemake(project, "tables", "--config", "results=local")
    site = project / "workflow/profiles/slurm/config.yaml"
    profile = yaml.safe_load(site.read_text())
    profile["slurm-init-seconds-before-status-checks"] = 2
    profile["set-resources"]["prune"]["gpu"] = 0
    profile["set-resources"]["latency"] = {"gpu": 1}
    site.write_text(yaml.safe_dump(profile))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NISP_BENCH_CHECKPOINT_SECONDS", "0")
        yield tables(project, "local")


def test_whatever_happens_to_its_jobs_the_tables_are_those_of_a_local_run(project, local):  # noqa: F811
    (project / "stall").touch()
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/slurm", "tables"]
    command += ["--config", "device=cpu"]  # jobs queue for the stand-in GPU; torch could not use it
    log = project / "slurm.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=project, stdout=file, stderr=subprocess.STDOUT)
        trouble = Trouble(project)
        deadline = time.monotonic() + 900
        try:
            while process.poll() is None and time.monotonic() < deadline:
                trouble.stir()
                time.sleep(0.1)
        finally:
            process.terminate()
            kill_what_is_left(project)
    output = log.read_text()
    assert process.wait() == 0, output
    assert not trouble.still, output
    for name, frame in tables(project).items():
        pd.testing.assert_frame_equal(frame, local[name])
    assert trouble.resumed > trouble.epochs, "training went on from its checkpoint"

    submitted = {job: rule for rule, job in re.findall(r"slurm_logs/rule_(\w+)/\S*?(\d+)\.log\)", output)}
    ended = [(submitted.get(job), *rest) for job, *rest in finished() if job in submitted]
    assert {state for _, state, *_ in ended} >= {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT"}
    times = {rule: [(start, end) for r, _, start, end in ended if r == rule] for rule in ("base", "prune")}
    assert len(times["base"]) > 4, "four networks, one of them tried again"
    overlap = [a[0] < b[1] and b[0] < a[1] for a, b in combinations(times["base"], 2)]
    assert not any(overlap), "one job a GPU"
    assert any(a[0] < b[1] and b[0] < a[1] for a in times["base"] for b in times["prune"]), "CPU jobs beside them"


def finished():
    """Id, state, start and end of every SLURM job that ended."""
    for line in FINISHED.read_text().splitlines():
        of = dict(item.split("=", 1) for item in line.split() if "=" in item)
        start, end = (datetime.fromisoformat(of[name]) for name in ("StartTime", "EndTime"))
        yield of["JobId"], of["JobState"], start, end
