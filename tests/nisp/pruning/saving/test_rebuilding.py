"""Descriptions that do not hold, whether damaged or hostile, end in one sentence, and run nothing."""

import copy
import functools
import json
import os
import random

import pytest
import torch
from torch import nn

from nisp.errors import UserError
from nisp.pruning.saving.plain_values import Fault
from nisp.pruning.saving.rebuilding import rebuild
from nisp.pruning.saving.structure import describe
from tests.nisp.pruning.saved_networks import Counted, Everything, Plain


def described(model):
    """As it will be read from its file."""
    content, tensors = describe(model)
    return json.loads(json.dumps(content)), tensors


PLAIN, TENSORS = described(Plain(width=4, sizes=(1, 2)))


def edited(*path, value):
    """The plain network's description with one place set to another value; None deletes it."""
    content = copy.deepcopy(PLAIN)
    place = content
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return content


LAYOUT = {"enumeration": "tests.nisp.pruning.saved_networks:Layout"}
ROOT, LINEAR = ("modules", 0), ("modules", 2)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (edited("modules", value=[]), "it has no modules"),
        (edited(*ROOT, value=3), "module 0 is not an object"),
        (edited(*LINEAR, "class", value=None), "module 2 lacks 'class'"),
        (edited(*LINEAR, "colour", value=1), "module 2 has the unknown key 'colour'"),
        (edited(*LINEAR, "attributes", value=[]), "'attributes' of module 2 has the wrong type: list"),
        (edited(*LINEAR, "class", value=7), "'class' of module 2 has the wrong type: int"),
        (edited(*LINEAR, "class", value="os:system"), "'os:system' is not a subclass of Module"),
        (edited(*LINEAR, "class", value="subprocess:Popen"), "is not a subclass of Module"),
        (edited(*LINEAR, "class", value="no_such_package:Net"), "is not known here: import no_such_package first"),
        (edited(*ROOT, "attributes", "act", value={"function": "os:system"}), "'os:system' may not be named by a file"),
        (edited(*ROOT, "attributes", "act", value={"class": "subprocess:Popen"}), "is not a subclass of Module"),
        (edited(*ROOT, "attributes", "act", value={"enumeration": "subprocess:Popen"}), "is not a subclass of Enum"),
        (edited(*ROOT, "attributes", "act", value={"enum": [LAYOUT, "MIDDLE"]}), "'enum' cannot be made from"),
        (
            edited(*ROOT, "attributes", "act", value={"partial": [{"function": "builtins:exec"}, ["1"], {"dict": []}]}),
            "'builtins:exec' may not be named by a file",
        ),
        (edited(*ROOT, "attributes", "act", value={"partial": [3, [], {"dict": []}]}), "'partial' cannot be made from"),
        (edited(*ROOT, "attributes", "act", value={"eval": "1"}), "there is no eval '1'"),
        (edited(*ROOT, "attributes", "act", value={"a": 1, "b": 2}), "an object with one key is expected, not with 2"),
        (edited(*ROOT, "attributes", "act", value={"dict": [[[1], 2]]}), "'dict' cannot be made from"),
        (edited(*ROOT, "attributes", "act", value={"tuple": 3}), "'tuple' cannot be made from 3"),
        (edited(*ROOT, "attributes", "act", value={"Size": ["a"]}), "'Size' cannot be made from"),
        (edited(*ROOT, "attributes", "act", value={"dtype": "load"}), "'dtype' cannot be made from 'load'"),
        (edited(*ROOT, "attributes", "act", value={"float": "1"}), "'float' cannot be made from '1'"),
        (edited(*ROOT, "attributes", "act", value={"device": "cuda:0"}), "'device' cannot be made from 'cuda:0'"),
        (edited(*ROOT, "attributes", "act", value={"numpy": ["ndarray", 1]}), "'numpy' cannot be made from"),
        (edited(*ROOT, "attributes", "act", value={"numpy": ["int8", 1000]}), "'numpy' cannot be made from"),
        (edited(*ROOT, "attributes", "act", value={"module": -1}), "there is no module -1"),
        (edited(*ROOT, "attributes", "act", value={"module": 99}), "there is no module 99"),
        (edited(*ROOT, "attributes", "act", value={"tensor": "none"}), "there is no tensor 'none'"),
        (edited(*ROOT, "attributes", "forward", value={"function": "torch:relu"}), "'forward' may not be set"),
        (edited(*ROOT, "attributes", "_forward_hooks", value={"dict": []}), "'_forward_hooks' may not be set"),
        (edited(*ROOT, "attributes", "__class__", value=1), "'__class__' may not be set"),
        (edited(*ROOT, "modules", "body", value="one"), "there is no module 'one'"),
        (edited(*ROOT, "modules", "body", value=True), "there is no module True"),
        (edited(*ROOT, "modules", "a.b", value=1), "'a.b' cannot name a module"),
        (edited(*ROOT, "modules", "", value=1), "'' cannot name a module"),
        (edited(*ROOT, "modules", "body", value=None), "it has modules outside the network"),
        (edited(*LINEAR, "parameters", "weight", value="other"), "there is no tensor 'other'"),
        (edited(*LINEAR, "parameters", "weight", value=3), "there is no tensor 3"),
        (edited(*LINEAR, "unsaved", value=["index"]), "'unsaved' names a buffer that it does not have"),
        (edited(*LINEAR, "unsaved", value=[[]]), "'unsaved' names a buffer that it does not have"),
        (edited("tensors", "body.0.bias", value=None), "the tensor 'body.0.bias' is only in the weights"),
        (edited("tensors", "more", value={}), "the tensor 'more' is only in the description"),
        (edited("tensors", "body.0.bias", value=5), "the tensor 'body.0.bias' is not an object"),
        (
            edited("tensors", "body.0.bias", "parameter", value=1),
            "'parameter' of the tensor .* has the wrong type: int",
        ),
        (edited("tensors", "body.0.bias", "parameter", value=False), "'body.0.bias' is not a parameter"),
        (edited("tensors", "body.0.weight", "order", value=[0]), r"\[0\] is not an order of the 2 dimensions"),
        (edited("tensors", "body.0.weight", "order", value=[0, 0]), "is not an order of the 2 dimensions"),
        (edited("tensors", "body.0.weight", "order", value=[True, 0]), "is not an order of the 2 dimensions"),
    ],
)
def test_a_description_that_does_not_hold_is_one_sentence(content, fault):
    with pytest.raises((Fault, UserError), match=fault) as raised:
        rebuild(content["modules"], content["tensors"], TENSORS)
    assert "\n" not in str(raised.value)


def test_the_unedited_description_holds():
    model = rebuild(PLAIN["modules"], PLAIN["tensors"], TENSORS)
    assert (model.width, model.sizes) == (4, (1, 2)) and not model.training


def test_integers_have_no_gradients():
    model = nn.Embedding(3, 2)
    model.register_buffer("index", torch.arange(3))
    content, tensors = described(model)
    content["tensors"]["index"]["requires_grad"] = True
    with pytest.raises(Fault, match=r"'index' is torch\.int64, which has no gradients"):
        rebuild(content["modules"], content["tensors"], tensors)


def test_an_incomplete_recurrent_layer_is_reported():
    content, tensors = described(nn.LSTM(2, 2))
    del content["modules"][0]["attributes"]["_flat_weights_names"]
    with pytest.raises(Fault, match=r"module 0, torch\.nn\.modules\.rnn:LSTM: its weights are incomplete"):
        rebuild(content["modules"], content["tensors"], tensors)


def test_no_constructor_is_called(monkeypatch):
    content, tensors = described(Everything())
    for kind in (Everything, nn.Linear, nn.Conv2d, nn.BatchNorm2d):
        monkeypatch.setattr(kind, "__init__", lambda *_, **__: pytest.fail("called"))
        monkeypatch.setattr(kind, "__setattr__", lambda *_: pytest.fail("called"))
    assert type(rebuild(content["modules"], content["tensors"], tensors)) is Everything


def test_a_class_that_makes_its_own_instances_is_rebuilt_without_its_code():
    content, tensors = described(Counted(2))
    loaded = rebuild(content["modules"], content["tensors"], tensors)
    assert Counted.made == 1 and loaded.width == 2


def _places(content, path=()):
    """The path of every value in a description."""
    yield path
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))
        else:
            yield (*path, key)


def test_random_damage_is_one_sentence_or_a_network(monkeypatch):
    content, tensors = described(Everything())
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("called"))
    places = [path for path in _places(content) if path]
    generator = random.Random(0)
    junk = [
        None,
        True,
        -1,
        10**30,
        "x",
        "",
        [],
        {},
        [[]],
        {"tuple": [1]},
        {"function": "os:system"},
        {"module": 0},
        0.5,
    ]
    refused = 0
    for _ in range(400):
        damaged = copy.deepcopy(content)
        *path, key = generator.choice(places)
        place = functools.reduce(lambda inside, step: inside[step], path, damaged)
        place[key] = generator.choice(junk)
        try:
            modules, names = damaged["modules"], damaged["tensors"]
            if isinstance(modules, list) and isinstance(names, dict):
                rebuild(modules, names, tensors)
        except (Fault, UserError) as error:
            refused += "\n" not in str(error)
    assert refused > 200
