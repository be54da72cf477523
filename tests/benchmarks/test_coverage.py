"""The coverage run, on small networks."""

import csv
import json

import pytest
import timm
import torch
import torchvision

from benchmarks.coverage import record, table
from benchmarks.coverage.__main__ import main
from benchmarks.coverage.calls import finite, first, shapes
from benchmarks.coverage.own import OWN
from benchmarks.coverage.zoo import SOURCES, subjects
from nisp.pruning.inputs import called

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
    assert convolutional["onnx"] == "true"
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


@pytest.mark.parametrize("option", ["--seconds", "--peer-seconds"])
def test_a_network_that_is_too_slow_is_a_row_until_it_has_more_time(tmp_path, option, capsys):
    options = ["--only", SMALL[1], "--records", str(tmp_path), "--out", str(tmp_path), "--checks", "peer"]
    main([*options, option, "0.5"])
    [row] = rows(tmp_path / "torch_pruning.csv")
    assert row["failure"] == "timeout: not done after 0.5 s in step 'start'" and row["torch_pruning"] != "true"
    capsys.readouterr()
    main([*options, option, "0.4"])
    assert "[peer" not in capsys.readouterr().out
    main([*options, option, "0.6"])
    assert "timeout: not done after 0.6 s" in capsys.readouterr().out


def test_outputs_and_inputs_may_have_any_structure(tmp_path):
    main(["--only", "detr", "diffusion", "--records", str(tmp_path), "--out", str(tmp_path), "--checks", "ours"])
    for row in rows(tmp_path / "coverage.csv"):
        assert row["failure"] == "" and row["onnx"] == "true" and float(row["max_error"]) < table.EXACT


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
    for source, home in (("segmentation", torchvision.models.segmentation), ("video", torchvision.models.video)):
        names = {subject.model for subject in listed if subject.source == source}
        assert names == set(torchvision.models.list_models(module=home))
    assert [subject.model for subject in subjects(sources=["own"])] == sorted(OWN, key=lambda name: sizes(listed)[name])
    assert {subject.source for subject in listed} == set(SOURCES)


def sizes(listed):
    return {subject.model: subject.params_m for subject in listed}


@pytest.mark.parametrize("name", OWN)
def test_networks_of_our_own_are_called_as_listed(name):
    [subject] = subjects([name], ["own"])
    model, inputs = subject.network(), subject.inputs()
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(subject.params_m, abs=1e-3)
    with torch.no_grad():
        outputs, one = called(model, inputs), called(model, first(inputs))
    assert finite(outputs)
    assert [(1, *shape[1:]) for shape in shapes(outputs)] == shapes(one)
    layers = subject.output_layers(model)
    assert layers and all(model.get_submodule(layer) for layer in subject.classifiers or ())


def test_failures_are_grouped_by_error():
    failing = [
        {"model": name, "source": "timm", "torch_pruning": False, "failure": "prune: KeyError: 'x|y'"} for name in "ab"
    ]
    passing = {"model": "c", "source": "timm", "torch_pruning": True, "failure": ""}
    lines = table.upstream([*failing, passing]).splitlines()
    assert lines[0] == "1 of 3 networks passed."
    assert lines[4:] == ["| `prune: KeyError: 'x\\|y'` | 2: a (timm), b (timm) |"]
