"""Weights from files: what fits is loaded, what does not is one sentence, and nothing is downloaded here."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.runs.bases import train_bases
from bench.runs.records import Store
from bench.runs.stored_tensors import load_weights, save_dataset
from bench.suite import plugins
from bench.suite.schema import Suite
from bench.training.pretrained import load_pretrained
from nisp.errors import UserError
from tests.bench.suite.test_loading import SMALL
from tests.conftest import build


@pytest.fixture
def trained():
    return build("resnet", 8)


def fresh():
    return plugins.load(plugins.MODELS, "resnet").build(8, 1, 8, 10).eval()


def same(one, other):
    own = other.state_dict()
    return all(torch.equal(tensor, own[name]) for name, tensor in one.state_dict().items())


def saved(path, state, legacy=False):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return path


def complaint(model, source, sha256=None):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_pretrained(model, str(source), sha256)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500
    return text


@pytest.mark.parametrize(("name", "legacy"), [("w.safetensors", False), ("w.pth", False), ("old.pth", True)])
def test_weights_come_from_either_kind_of_file(tmp_path, trained, name, legacy):
    model, path = fresh(), saved(tmp_path / name, trained.state_dict(), legacy)
    assert not same(trained, model)
    load_pretrained(model, str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    assert same(trained, model)


def test_old_files_without_counters_and_files_with_auxiliary_classifiers_fit(tmp_path, trained):
    state = {name: t for name, t in trained.state_dict().items() if not name.endswith("num_batches_tracked")}
    path = saved(tmp_path / "w.pth", state | {"aux1.fc.weight": torch.zeros(3)})
    model = fresh()
    load_pretrained(model, str(path))
    assert same(trained, model)


def test_another_file_than_the_one_meant_is_refused(tmp_path, trained):
    path = saved(tmp_path / "w.pth", trained.state_dict())
    assert "is not the expected one: its sha256 is" in complaint(fresh(), path, "0" * 64)


def test_a_missing_or_broken_file_is_told(tmp_path, trained):
    assert "does not exist" in complaint(fresh(), tmp_path / "nothing.pth")
    for name, content in (("w.pth", b"PK\x03\x04"), ("w.safetensors", b"\x08" + bytes(7) + b"{broken"), ("e.pth", b"")):
        (tmp_path / name).write_bytes(content)
        assert "cannot be read" in complaint(fresh(), tmp_path / name)
    whole = saved(tmp_path / "cut.pth", trained.state_dict())
    whole.write_bytes(whole.read_bytes()[:5000])
    assert "cannot be read" in complaint(fresh(), whole)


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save({"a": Path("x")}, tmp_path / "w.pth")
    assert "cannot be read" in complaint(fresh(), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: {name: state[name] for name in state if name != "conv.weight"}, "it lacks conv.weight"),
        (lambda state: state | {"more": torch.zeros(1)}, "it has more, which the network does not have"),
        (lambda state: state | {"classifier.bias": torch.zeros(7)}, "classifier.bias has the shape (7,), not (10,)"),
        (lambda state: {"state_dict": state, "epoch": 3}, "must hold a mapping of names to tensors"),
    ],
)
def test_weights_of_another_network_are_told(tmp_path, trained, change, told):
    assert told in complaint(fresh(), saved(tmp_path / "w.pth", change(dict(trained.state_dict()))))


def test_torchvisions_weights_are_looked_for_by_name(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert "torchvision has no weights 'ResNet50_Weights.V9'" in complaint(fresh(), "torchvision:ResNet50_Weights.V9")
    model = plugins.load(plugins.MODELS, "alexnet").build(None, 3, 224, 1000)
    from torchvision.models import AlexNet_Weights

    cached = tmp_path / "checkpoints" / AlexNet_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    cached.parent.mkdir()
    saved(cached, {name: torch.full_like(tensor, 0.5) for name, tensor in model.state_dict().items()})
    load_pretrained(model, "torchvision:AlexNet_Weights.IMAGENET1K_V1")
    assert model.classifier[6].bias[0] == 0.5

    def offline(*args, **kwargs):
        raise OSError("no network")

    cached.unlink()
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    assert "cannot be downloaded: no network" in complaint(model, "torchvision:AlexNet_Weights.IMAGENET1K_V1")


def test_a_suite_may_start_from_weights(tmp_path, digits):
    net = build("lenet", None)
    path = saved(tmp_path / "lenet.pth", net.state_dict())
    training = SMALL["training"] | {"models": {"lenet": {"weights": str(path)}}}
    suite = Suite(**SMALL | {"training": training})
    [model] = suite.models
    store = Store(tmp_path / "results")
    save_dataset(store.data("digits"), digits)
    train_bases(suite, store, "digits", model, [0])
    base = plugins.load(plugins.MODELS, "lenet").build(None, 1, 8, 10)
    assert load_weights(store.base("digits", "lenet", 0), base, suite.base_digest("digits", model, 0))
    assert same(net, base)
