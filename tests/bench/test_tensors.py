"""The checksum of data and weights covers all that a file says: names, kinds, shapes, numbers and notes."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from bench.data import Dataset, Split
from bench.errors import UserError
from bench.tensors import load_dataset, load_weights, save_dataset, save_weights


@pytest.fixture
def dataset():
    """Splits of which nothing is alike, images laid out in memory with the channels last."""
    parts = [Split(torch.randn(n, 5, 5, 2).permute(0, 3, 1, 2), torch.arange(n)) for n in (4, 3, 2)]
    return Dataset("mine", *parts, classes=4)


def content(file):
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118


def test_splits_name_and_classes_come_back_each_in_its_place(dataset, tmp_path):
    save_dataset(tmp_path / "d", dataset)
    again = load_dataset(tmp_path / "d")
    assert (again.name, again.classes) == ("mine", 4)
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(dataset, part), getattr(again, part)
        assert torch.equal(ours.images, theirs.images) and torch.equal(ours.labels, theirs.labels)
        assert ours.images.dtype == theirs.images.dtype and ours.labels.dtype == theirs.labels.dtype


CHANGES = {
    "two tensors swapped": lambda t, m: ({**t, "a.weight": t["b.weight"], "b.weight": t["a.weight"]}, m),
    "a tensor under another name": lambda t, m: ({("c" + n if n == "a.bias" else n): x for n, x in t.items()}, m),
    "a tensor in another shape": lambda t, m: ({**t, "a.weight": t["a.weight"].reshape(4, 1)}, m),
    "a tensor of another kind": lambda t, m: ({**t, "a.weight": t["a.weight"].view(torch.int32)}, m),
    "another number": lambda t, m: ({**t, "a.bias": t["a.bias"] + 1}, m),
    "a tensor less": lambda t, m: ({n: x for n, x in t.items() if n != "a.bias"}, m),
    "another digest": lambda t, m: (t, {**m, "digest": "other"}),
    "a note more": lambda t, m: (t, {**m, "by": "hand"}),
    "no checksum": lambda t, m: (t, {"digest": m["digest"]}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_says_anything_else_than_what_was_summed_is_not_loaded(tmp_path, change):
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    save_weights(tmp_path / "w", model, "mine")
    tensors, meta = content(tmp_path / "w")
    digest = "other" if change == "another digest" else "mine"
    save_file(tensors, tmp_path / "same", meta)
    assert load_weights(tmp_path / "same", model, "mine"), "it is not for having been written again"
    changed, notes = CHANGES[change](tensors, meta)
    save_file(changed, tmp_path / "w", notes)
    assert not load_weights(tmp_path / "w", model, digest)


def test_a_data_file_with_other_notes_is_refused(dataset, tmp_path):
    save_dataset(tmp_path / "d", dataset)
    tensors, meta = content(tmp_path / "d")
    assert meta.keys() == {"name", "classes", "sha256"} and json.loads(meta["classes"]) == 4
    save_file(tensors, tmp_path / "d", {**meta, "classes": "5"})
    with pytest.raises(UserError, match="is broken"):
        load_dataset(tmp_path / "d")


def test_weights_are_those_of_the_moment_they_were_saved(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model[1].running_mean += 3
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_weights(tmp_path / "w", model, "mine")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    assert load_weights(tmp_path / "w", model, "mine")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
