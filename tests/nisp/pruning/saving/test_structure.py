"""Networks are described as data, or refused in a sentence that says which attribute of which module is not data."""

import json
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

import nisp
from nisp.errors import UserError
from nisp.pruning.saving.structure import describe
from tests.nisp.pruning.halving import IMAGES, halved, outputs
from tests.nisp.pruning.saved_networks import Everything, Layout, Nest, Plain, Slotted, swish


def round_trip(model, folder):
    nisp.save(model, folder)
    return nisp.load(folder)


@pytest.fixture
def both(tmp_path):
    """A network with everything in it, and what comes back of it."""
    torch.manual_seed(0)
    model = Everything().eval()
    return model, round_trip(model, tmp_path)


def test_own_classes_compute_the_same(both):
    model, loaded = both
    assert torch.equal(outputs(loaded), outputs(model)) and outputs(model).std() > 0
    assert str(loaded) == str(model)
    assert list(loaded.state_dict()) == list(model.state_dict())


def test_shared_modules_and_tied_weights_stay_shared(both):
    _, loaded = both
    assert loaded.again is loaded.first and loaded.recent == [loaded.first, loaded.second]
    assert loaded.other.weight is loaded.tied.weight is loaded.weights[0] and loaded.weights[1] is loaded.scale
    assert loaded.other.bias is not loaded.stem.conv.bias


def test_attributes_keep_their_values_and_types(both):
    model, loaded = both
    names = ("sizes", "ordered", "names", "limits", "size", "dtype", "layout", "root", "device", "missing", "pool")
    for name in names:
        value, expected = getattr(loaded, name), getattr(model, name)
        assert value == expected and type(value) is type(expected), name
    assert loaded.layout is Layout.LAST and list(loaded.ordered) == ["b", "a"]
    assert type(loaded.sizes["in"]) is tuple and type(loaded.sizes[5]) is list and loaded.limits[3] is True
    assert loaded.second.act.func is swish and loaded.second.act.keywords == {"beta": 2.0}
    assert loaded.stem.act is torch.tanh and loaded.stem.norm_layer is nn.BatchNorm2d


def test_parameters_buffers_and_gaps_keep_their_kind(both):
    _, loaded = both
    assert not loaded.frozen.requires_grad and loaded.tied.weight.requires_grad
    assert loaded._parameters["absent"] is None and loaded._modules["nothing"] is None
    assert set(dict(loaded.named_buffers(recurse=False))) == {"kept", "index"}
    assert "index" not in loaded.state_dict() and loaded.index.dtype == torch.int64
    assert type(loaded.scale) is torch.Tensor and "scale" not in loaded.state_dict()


def test_nan_is_kept(tmp_path):
    assert np.isnan(round_trip(Plain(limit=float("nan")), tmp_path).limit)


def test_a_loaded_network_can_be_trained_saved_again_and_loaded_again(both, tmp_path):
    model, loaded = both
    again = round_trip(loaded, tmp_path / "again")
    assert torch.equal(outputs(again), outputs(model))
    again.train()(IMAGES).sum().backward()
    assert all(p.grad is not None for p in again.parameters() if p.requires_grad)


def test_the_mode_is_not_kept(tmp_path):
    loaded = round_trip(Everything().train(), tmp_path)
    assert not any(module.training for module in loaded.modules())


def test_the_order_of_dimensions_in_memory_is_kept(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)).to(memory_format=torch.channels_last)
    model[2].weight = nn.Parameter(torch.randn(4, 2).t())
    loaded = round_trip(model, tmp_path)
    assert loaded[0].weight.stride() == model[0].weight.stride() != torch.empty(4, 3, 3, 3).stride()
    assert loaded[2].weight.stride() == (1, 2) and torch.equal(loaded[2].weight, model[2].weight)


def test_a_transformer_and_a_recurrent_network_come_back(tmp_path):
    torch.manual_seed(0)
    tokens = torch.randn(2, 5, 8)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=nn.functional.gelu)
    for name, model in (("attention", nn.TransformerEncoder(layer, 2)), ("recurrent", nn.LSTM(8, 4, 2))):
        model.eval()
        loaded, expected = round_trip(model, tmp_path / name), model(tokens)
        answer = loaded(tokens)
        if name == "recurrent":
            expected, answer = expected[0], answer[0]
        assert torch.equal(answer, expected)


def test_half_precision_and_containers_come_back(tmp_path):
    model = nn.ModuleDict(
        {"a": nn.ModuleList([nn.Linear(2, 2), nn.ModuleList()]), "b": nn.ParameterList([torch.ones(2)])}
    )
    loaded = round_trip(model.to(torch.bfloat16), tmp_path)
    assert loaded["a"][0].weight.dtype == torch.bfloat16 and len(loaded["a"][1]) == 0
    assert torch.equal(loaded["a"][0].weight, model["a"][0].weight) and torch.equal(loaded["b"][0], model["b"][0])


def test_a_class_inside_a_class_is_found(tmp_path):
    assert isinstance(round_trip(Nest(), tmp_path).inner, Nest.Inner)


def test_a_pruned_network_of_an_own_class_comes_back(tmp_path):
    class_ = "tests.nisp.pruning.saved_networks:Everything"
    assert describe(Everything())[0]["modules"][0]["class"] == class_
    pruned = halved(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten()))
    loaded = round_trip(pruned, tmp_path)
    assert loaded[0].out_channels == 4 and torch.equal(outputs(loaded), outputs(pruned))


def hooked():
    model = Plain()
    model.body[1].register_forward_hook(lambda *_: None)
    return model


def local():
    class Local(nn.Linear):
        pass

    return nn.Sequential(Local(2, 2))


def looping():
    loop = []
    loop.append(loop)
    return Plain(loop=loop)


def replaced():
    model = Plain()
    model.body[0].forward = torch.relu
    return model


class Number(int):
    pass


REFUSED = {
    "lambda": (lambda: Plain(act=lambda x: x), "the attribute 'act' of the network cannot be saved: .* is a lambda"),
    "nested": (lambda: nn.Sequential(Plain(acts={"a": [abs]})), "the attribute 'acts' of module '0' cannot be saved"),
    "local class": (local, "the class of module '0' cannot be saved: .* is defined inside a function"),
    "hook": (hooked, r"'_forward_hooks' of module 'body\.1' cannot be saved"),
    "weight norm": (lambda: nn.Sequential(weight_norm(nn.Linear(2, 2))), "'_forward_pre_hooks' of module '0'"),
    "spectral norm": (lambda: nn.Sequential(spectral_norm(nn.Linear(2, 2))), "of module '0' cannot be saved"),
    "parametrization": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2))),
        "of module '0' cannot be saved",
    ),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), "of module '0' cannot be saved"),
    "object": (lambda: Plain(lock=threading.Lock()), "'lock' of the network cannot be saved: it holds a lock"),
    "array": (lambda: Plain(table=np.zeros(3)), "it holds a ndarray"),
    "subclass": (lambda: Plain(number=Number(3)), "it holds a Number"),
    "method": (replaced, r"'forward' of module 'body\.0' cannot be saved: it replaces a method"),
    "bound method": (lambda: Plain(act=Plain().forward), "it holds a method"),
    "loop": (looping, "'loop' of the network cannot be saved: it contains itself"),
    "other module": (lambda: Plain(teachers=[nn.ReLU()]), "it holds a ReLU"),
    "loose parameter": (lambda: Plain(loose=[nn.Parameter(torch.ones(1))]), "a parameter that is not registered"),
    "system": (lambda: Plain(act=json.dumps), "the function 'json:dumps' may not be named by a file"),
    "other class": (lambda: Plain(kind=threading.Thread), "is not a subclass of Module"),
    "slots": (Slotted, "it has __slots__"),
    "meta": (lambda: Plain().to("meta"), r"the tensor 'weight' of module 'body\.0' cannot be saved: it has no values"),
    "sparse": (lambda: Plain(table=torch.eye(2).to_sparse()), "'table' of the network .* sparse"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_data_is_refused_in_one_sentence(name, tmp_path):
    build, fault = REFUSED[name]
    with pytest.raises(UserError, match=fault) as raised:
        nisp.save(build(), tmp_path / "net")
    assert str(raised.value).endswith("pass factory= instead") and "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_replaced_class_is_refused(tmp_path, monkeypatch):
    model = Nest()
    monkeypatch.setattr(
        "tests.nisp.pruning.saved_networks.Nest.Inner", type("Inner", (nn.Linear,), vars(Nest.Inner) | {})
    )
    with pytest.raises(
        UserError, match=r"the class of module 'inner' cannot be saved: .* (is another class now|is not a subclass)"
    ):
        nisp.save(model, tmp_path)
