import json

import pytest
import torch

from bench.files import read_json_if_valid, write_json
from bench.runs.bases import untrained
from bench.runs.records import load_record, save_record
from bench.runs.stored_tensors import load_dataset, load_weights, save_dataset, save_weights
from bench.suite.specs import ModelSpec
from nisp.whole_files import replacing

MODEL = ModelSpec(name="plain", depth=4)


def test_a_data_set_comes_back_as_it_was(tmp_path, digits):
    save_dataset(tmp_path / "d.safetensors", digits)
    again = load_dataset(tmp_path / "d.safetensors")
    assert (again.name, again.classes) == ("digits", 10)
    for part in ("train", "validation", "test"):
        for ours, theirs in zip(getattr(digits, part), getattr(again, part), strict=True):
            assert torch.equal(ours, theirs)


def test_weights_come_back_only_under_their_digest(tmp_path, digits):
    file, first, second = tmp_path / "w.safetensors", untrained(MODEL, digits, 0), untrained(MODEL, digits, 1)
    save_weights(file, first, "abc")
    assert not load_weights(file, second, "other")
    assert load_weights(file, second, "abc")
    for ours, theirs in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_weights_that_are_missing_or_of_another_network_are_not_loaded(tmp_path, digits):
    """Whatever damages a file: tests/bench/runs/test_damage.py."""
    file, model = tmp_path / "w.safetensors", untrained(MODEL, digits, 0)
    assert not load_weights(file, model, "abc")
    save_weights(file, untrained(ModelSpec(name="plain", depth=6), digits, 0), "abc")
    assert not load_weights(file, model, "abc")


def test_records_come_back_only_under_their_digest(tmp_path):
    file = tmp_path / "r.json"
    row, curve = {"top1_final": 1 / 3, "ware": float("nan")}, [{"epoch": 0, "test_top1": 9.5}]
    save_record(file, "abc", {"row": row, "curve": curve}, {"commit": "c"})
    record = load_record(file, "abc")
    assert record is not None and record["row"]["top1_final"] == 1 / 3 and record["curve"][0]["test_top1"] == 9.5
    assert load_record(file, "other") is None


def test_a_killed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, [1])
    with pytest.raises(KeyboardInterrupt), replacing(file) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert json.loads(file.read_text()) == [1] and list(tmp_path.iterdir()) == [file]
    assert read_json_if_valid(tmp_path / "none.json") is None
