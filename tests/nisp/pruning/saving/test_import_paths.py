"""A file may name network classes and functions of tensors; nothing else that Python can import is within reach."""

import os
import sys

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from nisp.errors import UserError
from nisp.pruning.saving.import_paths import ALLOWED, find_class, find_function, path_of
from tests.nisp.pruning import saved_networks

OWN = saved_networks.__name__


@pytest.mark.parametrize(
    "kind", [nn.Conv2d, torchvision.models.ResNet, saved_networks.Block, saved_networks.Nest.Inner]
)
def test_network_classes_are_found(kind):
    assert find_class(path_of(kind), ALLOWED) is kind


FUNCTIONS = [
    F.relu, F.gelu, F.max_pool2d, F.adaptive_avg_pool2d, F.conv2d, F.scaled_dot_product_attention, torch.relu,
    torch.tanh, torch.einsum, torchvision.ops.stochastic_depth,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_functions_of_tensors_are_found(function):
    assert find_function(path_of(function), ALLOWED, ()) is function


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("torch.nn", "is not an import path"),
        ("torch.nn:Conv2d()", "is not an import path"),
        ("torch.nn.modules.conv:NoSuch", "does not exist here"),
        ("torch.nn:Conv2d", "is not a subclass of Module that is defined there"),  # imported to there
        ("torch.nn.modules.conv:Module", "is not a subclass of Module that is defined there"),
        ("torch.nn.modules.conv:Tensor", "is not a subclass of Module"),
        ("subprocess:Popen", "is not a subclass of Module"),
        ("torch.jit:ScriptModule", "is not allowed"),
        ("torch.fx.graph_module:GraphModule", "is not allowed"),
        ("torch.nn.no_such:Net", "cannot be imported"),
        ("timm.__main__:Net", "is a program"),
        ("antigravity:Net", "'antigravity:Net' is not known here: import antigravity first, or pass allowed="),
        ("os:path.join", "does not exist here|is not a subclass"),
    ],
)
def test_other_classes_are_refused(path, fault):
    with pytest.raises(UserError, match=fault):
        find_class(path, ALLOWED)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "path",
    [
        "os:system", "posix:system", "subprocess:run", "builtins:exec", "torch:load", "torch.serialization:load",
        "torch.hub:load", "torch:from_file", "torch:compile", "torch:set_num_threads", "torchvision.io.image:write_png",
        "torchvision.datasets.utils:download_url", "timm.models._hub:load_state_dict_from_hf",
        "timm.models._helpers:load_checkpoint", "timm.utils.summary:get_outdir", "torch.nn.functional:importlib",
        "torch.nn.functional:handle_torch_function", "torch:__dir__", "torch.nn.init:normal_",
    ],
)  # fmt: skip
def test_other_functions_are_refused(path):
    defining = [path.split(":")[0]] if path.startswith("torch") else []  # not even beside a class of the network
    with pytest.raises(UserError):
        find_function(path, ALLOWED, defining)


def test_own_functions_need_their_module_to_define_a_class_of_the_network_or_to_be_allowed():
    path = path_of(saved_networks.swish)
    with pytest.raises(UserError, match=r"may not be named by a file: pass allowed="):
        find_function(path, ALLOWED, ())
    assert find_function(path, ALLOWED, {OWN}) is saved_networks.swish
    assert find_function(path, (OWN,), ()) is saved_networks.swish


def test_functions_that_a_module_only_imported_are_refused(monkeypatch):
    monkeypatch.setattr(saved_networks, "system", os.system, raising=False)
    with pytest.raises(UserError, match="is not a function that is defined there"):
        find_function(f"{OWN}:system", (OWN,), {OWN})


def test_looking_up_runs_no_code_of_a_module(monkeypatch):
    monkeypatch.setattr(saved_networks, "__getattr__", lambda name: pytest.fail("ran"), raising=False)
    with pytest.raises(UserError, match="does not exist here"):
        find_class(f"{OWN}:Missing", ALLOWED)


def test_what_has_no_import_path_is_refused():
    for thing in (lambda x: x, type("Local", (nn.Module,), {"__qualname__": "f.<locals>.Local"})):
        with pytest.raises(UserError, match="cannot be imported"):
            path_of(thing)
    with pytest.raises(UserError, match="is not one of torch's"):
        path_of(len)
