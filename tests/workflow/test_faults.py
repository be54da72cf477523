"""What goes wrong outside: processes killed, files damaged, disks full or read-only, two runs at once, wild input."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.workflow.test_workflow import SUITE, project, start, tables, write_suite  # noqa: F401

KILLS = [("data", 1), *[("bases", 6)] * 4, *[("records", 3)] * 3, ("tables", 6), ("figures", 6)]
"""Phase of a run (a folder of its results), and after how many changes there of a file a kill comes at most."""
SMALL = SUITE | {
    "training": {"default": {"epochs": 6, "batch_size": 64, "learning_rate": 0.1}},
    "experiments": [{**SUITE["experiments"][0], "models": [{"name": "lenet"}], "seeds": [0, 1], "ratios": [0.25, 0.5]}],
    "questions": [{**SUITE["questions"][0], "models": ["lenet"]}],
}


def run(folder, *arguments, code=0, **config):
    """Snakemake to its end: what it printed."""
    process = begin(folder, *arguments, **config)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == code, output
    return output


def begin(folder, *arguments, **config):
    # A checkpoint after every epoch, or none would ever be left behind by so short a training.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NISP_BENCH_CHECKPOINT_SECONDS": "-1"}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    command += ["--config", *(f"{key}={value}" for key, value in config.items())] if config else []
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes)


def one_sentence(output, text):
    """``text`` stands in a line of its own ``error:``, and nobody has to read a traceback."""
    assert text in output and "Traceback" not in output, output


@pytest.fixture(scope="module")
def small(project):  # noqa: F811
    """A project, and the tables of a run of its suite that nothing disturbed."""
    write_suite(project, SMALL)
    run(project)
    return project


def state(folder):
    """Every file of a run, temporary ones too, with what changes when it is written."""
    found = set()
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = Path(place, name).stat()
            except FileNotFoundError:
                continue
            if "/logs/" not in f"{place}/":
                found.add((f"{place}/{name}", status.st_mtime_ns, status.st_ino))
    return found


def killed_at_random(folder, seed):
    """Run to the end through all KILLS of the whole process group, more than once if need be.

    Yields the name of each run's results, and which files the kills so far followed. A kill follows the first to last
    change of a file in its phase's folder, by up to a third of a second.
    """
    draw, hit = random.Random(seed), []
    for number in itertools.count():
        results = f"killed{number}"
        process = begin(folder, "--nolock", results=results)
        while process.poll() is None and len(hit) < len(KILLS):
            phase, most = KILLS[len(hit)]
            place, changes, delay = folder / results / "tiny" / phase, draw.randint(1, most), draw.uniform(0, 0.33)
            seen = before = state(place)
            while process.poll() is None and len(seen - before) < changes:
                time.sleep(0.004)
                seen, last = seen | (now := state(place)), sorted(now - seen)
            time.sleep(delay)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                hit.append(last[0][0])
                process = begin(folder, "--nolock", results=results)
        output = process.communicate(timeout=300)[0]
        assert process.returncode == 0, output
        yield results, list(hit)
        if len(hit) == len(KILLS):
            return


@pytest.mark.slow
def test_killed_at_twenty_random_moments_and_started_again_it_gives_the_same_tables(small, tmp_path):
    copies = [tmp_path / "first", tmp_path / "second"]
    for copy in copies:
        shutil.copytree(small, copy, ignore=shutil.ignore_patterns("results", ".snakemake"))
    with ThreadPoolExecutor() as threads:
        chains = list(threads.map(lambda copy: list(killed_at_random(copy, copy.name)), copies))
    expected, hit = tables(small), []
    for copy, rounds in zip(copies, chains, strict=True):
        for results, _ in rounds:
            for name, frame in tables(copy, results).items():
                pd.testing.assert_frame_equal(frame, expected[name])
        hit += rounds[-1][1]
    print(*hit, sep="\n")
    assert len(hit) == 20 and any("checkpoint" in place for place in hit)


def flip(file, place=0.5):
    """Turn one bit over, and leave the file's times as they were."""
    status, content = file.stat(), bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 4
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def forget_answers(root):
    for name in ("tables", "figures"):
        shutil.rmtree(root / name)
    (root / "report.html").unlink()


def times(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.json")}


def test_a_damaged_record_is_told_and_made_anew_alone(small):
    root = small / "results/tiny"
    expected, before = tables(small), times(root / "records")
    record = sorted(before)[3]
    flip(record)
    forget_answers(root)
    one_sentence(run(small, code=1), f"1 of {len(before)} records are missing, damaged or made with other settings")
    run(small)
    after = times(root / "records")
    assert [file for file in after if after[file] != before[file]] == [record]
    for name, frame in tables(small).items():
        pd.testing.assert_frame_equal(frame, expected[name])


@pytest.mark.slow
def test_damaged_base_weights_are_trained_anew(small):
    root = small / "results/tiny"
    expected = tables(small)
    weights = sorted((root / "bases").rglob("*.safetensors"))[0]
    whole = {name: tensor.clone() for name, tensor in load_file(weights).items()}  # it reads as the file changes
    flip(weights)
    shutil.rmtree(root / "records/digits/lenet/0")
    shutil.rmtree(root / "batches")
    forget_answers(root)
    run(small)
    again = load_file(weights)
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())
    for name, frame in tables(small).items():
        pd.testing.assert_frame_equal(frame, expected[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "lost", "told"),
    [
        ("data/digits.safetensors", "latency.json", "digits.safetensors is broken (its checksum does not match)"),
        ("latency.json", "tables/runs.csv", "latency.json is missing or damaged (its checksum does not match)"),
        ("tables/runs.csv", "tables/verdicts.csv", "runs.csv is damaged or was edited (its checksum does not match)"),
        ("tables/verdicts.csv", "figures/captions.json", "verdicts.csv is damaged or was edited"),
        ("tables/provenance.json", "report.html", "provenance.json is missing or damaged"),
        ("figures/captions.json", "report.html", "captions.json is missing or damaged"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_anew_by_itself_is_refused_in_one_sentence(small, file, lost, told):
    root = small / "results/tiny"
    kept = shutil.copytree(root, small / "kept")
    flip(root / file)
    (root / lost).unlink()
    try:
        one_sentence(run(small, f"results/tiny/{lost}", code=1), told)
    finally:
        shutil.rmtree(root)
        kept.rename(root)


@pytest.mark.slow
def test_two_runs_at_once_are_kept_apart(small):
    first = begin(small, results="twice")
    while not (small / ".snakemake/locks").exists() or not any((small / ".snakemake/locks").iterdir()):
        assert first.poll() is None
        time.sleep(0.02)
    output = run(small, code=1, results="twice")
    os.killpg(first.pid, signal.SIGTERM)
    first.communicate()
    one_sentence(
        " ".join(output.split()), "Directory cannot be locked. Please make sure that no other Snakemake process"
    )


@pytest.fixture
def mounted(small):
    """Mount a file system of that size as the results, with other options if given."""
    folder = small / "mounted"
    folder.mkdir()
    used = []

    def mount(options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip("only root may mount a file system")
        used.append(folder)

    yield mount
    for place in set(used):
        subprocess.run(["umount", place], check=True)
    folder.rmdir()


@pytest.mark.slow
def test_a_full_disk_ends_in_one_sentence_and_goes_on_when_there_is_room(small, mounted):
    mounted("size=300k")
    data = "mounted/tiny/data/digits.safetensors"
    one_sentence(run(small, data, code=1, results="mounted"), f"error: {data} cannot be written: ")
    assert not (small / data).exists()
    mounted("remount,size=30m")
    run(small, data, results="mounted")
    assert (small / data).exists()


def test_a_read_only_directory_is_told_before_any_job(small, mounted):
    mounted("ro")
    output = run(small, code=1, results="mounted")
    one_sentence(output, "mounted/tiny/.writable cannot be written: Read-only file system")
    assert "rule data" not in output


MALFORMED = {
    "ratio": SMALL | {"experiments": [{**SMALL["experiments"][0], "ratios": [1.5]}]},
    "name": SMALL | {"suite": "tiny; touch pwned"},
    "method": SMALL | {"methods": {**SMALL["methods"], "$(touch pwned)": {"criterion": "toy"}}},
    "tab": b"suite:\n\tx",
    "binary": b"\x80\x04\x95\x00\xff",
    "object": b"a: !!python/object/apply:os.system [touch pwned]",
    "date": b"suite: 2020-13-45",
    "bomb": b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (i, i, i - 1, i - 1) for i in range(1, 60)),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_suite_ends_the_command_before_any_job(small, case):
    file = small / "config/suites/wrong.yaml"
    content = MALFORMED[case]
    file.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
    output = run(small, suite="wrong", code=1)
    file.unlink()
    one_sentence(output, f"\n{file}")
    assert "rule " not in output and not (small / "pwned").exists()


SETTINGS = [
    "results=a; touch pwned", "results=$(touch pwned)", "results=`touch pwned`", "results=a{seed}", "results=",
    "results=a'b", "results=-rf", "data=a;touch pwned", "data=$(touch pwned)", "data=3", "suite=$(touch pwned)",
    "suite=a;touch pwned.yaml", "suite=3", "suite=../../nothing", "suite=/dev/null/x.yaml", "other=1",
    "seeds=1", "seeds=-3", "seeds=9-8", "seeds=a", "seeds=1.5", "seeds=true", "seeds=1-99999999",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_wild_setting_ends_the_command_before_any_job(small, setting):
    process = start(small, "-n", "--config", setting)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and "Traceback" not in output and "rule " not in output, output
    beginnings = (setting.partition("=")[0], "config:", "there is no", "/dev/null/x.yaml cannot be read")
    [told] = [line for line in output.splitlines() if line.startswith(beginnings)]
    assert len(told) < 400 and not (small / "pwned").exists()


@pytest.mark.slow
def test_a_line_tells_how_a_run_stands_but_not_when_it_is_to_be_quiet(small):
    (small / "results/tiny/report.html").unlink()
    assert "2 of 2 jobs done, 0 running, 0 failed, none left" in run(small, "--quiet", "rules")
    for quiet in ("progress", "all"):
        (small / "results/tiny/report.html").unlink()
        assert "jobs done" not in run(small, "--quiet", quiet)
    assert "jobs done" not in run(small, "-n", "--forceall")
