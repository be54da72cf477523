"""The coverage run, on two small networks."""

import csv
import json

import pytest
import timm
import torchvision

from benchmarks.coverage import record, table
from benchmarks.coverage.__main__ import main
from benchmarks.coverage.zoo import subjects

pytestmark = pytest.mark.slow

SMALL = ["squeezenet1_1", "starnet_s050"]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coverage")
    options = ["--only", *SMALL, "--records", str(folder / "records"), "--out", str(folder)]
    main(options)
    return folder, options


def test_the_table_says_what_works(run):
    folder, _ = run
    found = {row["model"]: row for row in rows(folder / "coverage.csv")}
    assert list(found) == SMALL
    assert tuple(found[SMALL[0]]) == table.COLUMNS
    convolutional = found["squeezenet1_1"]
    assert (convolutional["source"], convolutional["params_m"]) == ("torchvision", "1.235")
    assert convolutional["pruned"] == convolutional["forward"] == convolutional["torch_pruning"] == "true"
    assert float(convolutional["max_error"]) < table.EXACT and float(convolutional["seconds"]) > 0
    assert {row["model"] for row in rows(folder / "torch_pruning.csv")} == set(SMALL)


def test_finished_networks_are_kept_until_their_code_changes(run, capsys):
    folder, options = run
    before = (folder / "coverage.csv").read_text()
    capsys.readouterr()
    main(options)
    assert (folder / "coverage.csv").read_text() == before
    assert "[ours" not in capsys.readouterr().out
    path = folder / "records/peer/timm/starnet_s050.json"
    content = json.loads(path.read_text())
    assert {"benchmarks/coverage/peer.py", "torch_pruning", "timm"} <= content["code"].keys()
    content["code"]["benchmarks/coverage/peer.py"] = "other"
    path.write_text(json.dumps(content))
    assert record.finished(path) is None and record.finished(path, any_code=True) is not None


@pytest.mark.parametrize(
    ("limit", "failure"), [(["--seconds", "0.5"], "timeout: not done after 0.5 s in step 'start'")]
)
def test_a_network_that_is_too_slow_is_a_row(tmp_path, limit, failure):
    main(["--only", SMALL[1], "--records", str(tmp_path), "--out", str(tmp_path), "--checks", "peer", *limit])
    [row] = rows(tmp_path / "torch_pruning.csv")
    assert row["failure"] == failure and row["torch_pruning"] != "true"


def test_an_unknown_network_is_one_sentence():
    with pytest.raises(SystemExit, match="error: colournet is not in"):
        main(["--only", "colournet"])


def test_the_list_leaves_nothing_out():
    listed = subjects()
    names = {subject.model for subject in listed if subject.source == "torchvision"}
    assert names == set(torchvision.models.list_models(module=torchvision.models))
    modules = [subject.module for subject in listed if subject.source == "timm"]
    assert sorted(modules) == sorted(timm.list_modules())
    assert all(s.model in timm.list_models(module=s.module) for s in listed if s.source == "timm")


def test_failures_are_grouped_by_error():
    failing = [
        {"model": name, "source": "timm", "torch_pruning": False, "failure": "prune: KeyError: 'x|y'"} for name in "ab"
    ]
    passing = {"model": "c", "source": "timm", "torch_pruning": True, "failure": ""}
    lines = table.upstream([*failing, passing]).splitlines()
    assert lines[0] == "1 of 3 networks passed."
    assert lines[4:] == ["| `prune: KeyError: 'x\\|y'` | 2: a (timm), b (timm) |"]
