"""Pruned networks come back from files: rebuilt, as torch.export's program, and in ONNX Runtime."""

import hashlib
import importlib
import json
import re
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nisp.errors import UserError
from nisp.pruning.builders import build
from nisp.pruning.graph_formats import save_onnx, save_program
from nisp.pruning.saving import load_pruned, save_pruned
from nisp.pruning.selection import keep_plan
from nisp.pruning.surgery import anatomy, remove_channels

VIT = {
    "image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32,
    "num_classes": 10,
}  # fmt: skip
PLAIN = ("bench.models.plain:build", {"depth": 4, "in_channels": 3, "image_size": 32, "classes": 10})
NETWORKS = {
    "plain": PLAIN,
    "resnet18": ("torchvision.models:resnet18", {"num_classes": 10}),
    "googlenet": ("torchvision.models:googlenet", {"num_classes": 10, "aux_logits": False, "init_weights": False}),
    "mobilenet_v2": ("torchvision.models:mobilenet_v2", {"num_classes": 10}),
    "vit": ("torchvision.models:VisionTransformer", VIT),
}
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def outputs(model, images=IMAGES):
    with torch.no_grad():
        return model(images)


def halved(model):
    """Every group of channels cut to its first half."""
    parts = anatomy(model, IMAGES[:1])
    plan = keep_plan(parts.groups, 0.5)
    return remove_channels(model, parts, {name: torch.arange(keep) for name, keep in plan.items()})


@pytest.fixture(scope="module", params=NETWORKS)
def case(request):
    """A pruned network with the factory and the arguments of its original."""
    torch.manual_seed(0)
    factory, arguments = NETWORKS[request.param]
    original = build(factory, arguments).eval()
    for module in original.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    if request.param == "vit":
        nn.init.normal_(original.heads.head.weight)  # torchvision starts it at zero, which would hide everything
    pruned = halved(original)
    assert sum(p.numel() for p in pruned.parameters()) < 0.9 * sum(p.numel() for p in original.parameters())
    return pruned, factory, arguments


@pytest.fixture
def saved(tmp_path):
    """A pruned plain network in files; returns their common path."""
    torch.manual_seed(0)
    pruned = halved(build(*PLAIN).eval())
    save_pruned(tmp_path / "net", pruned, *PLAIN)
    return tmp_path / "net"


def edit(path, **changes):
    file = path.with_name("net.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_rebuilt_network_is_the_same_to_the_bit(case, tmp_path):
    pruned, factory, arguments = case
    save_pruned(tmp_path / "net", pruned, factory, arguments)
    rebuilt = load_pruned(tmp_path / "net")
    assert torch.equal(outputs(rebuilt), outputs(pruned))
    assert str(rebuilt) == str(pruned)  # channels, groups, widths: all that the modules say of themselves
    assert not any(module.training for module in rebuilt.modules())
    rebuilt.train()(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in rebuilt.parameters())


def test_torch_export_and_onnx_compute_the_same(case, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pruned, _, _ = case
    expected = outputs(pruned)
    scale = expected.abs().max().item()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_program(tmp_path / "net.pt2", pruned, IMAGES[:1])
        save_onnx(tmp_path / "net.onnx", pruned, IMAGES[:1])
    program = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(outputs(program), expected, rtol=1e-4, atol=1e-5 * scale)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    [answer] = session.run(["logits"], {"images": IMAGES.numpy()})
    torch.testing.assert_close(torch.from_numpy(answer), expected, rtol=1e-3, atol=1e-4 * scale)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.onnx", "net.pt2"]


def test_exporting_leaves_the_network_in_its_mode(tmp_path):
    model = build(*PLAIN).train()
    save_program(tmp_path / "net.pt2", model, IMAGES[:1])
    assert all(module.training for module in model.modules())


def test_onnx_without_its_packages_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"install nisp-bench\[export\]"):
        save_onnx(tmp_path / "net.onnx", build(*PLAIN), IMAGES[:1])


def test_tied_weights_stay_tied_and_buffers_outside_the_state_dict_come_back(tmp_path):
    module = tmp_path / "tied_networks.py"
    module.write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)\n"
        "        self.second.weight = self.first.weight\n"
        "        self.register_buffer('index', torch.arange(4), persistent=False)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        model = importlib.import_module("tied_networks").Net()
        model.first.weight = model.second.weight = nn.Parameter(torch.randn(3, 4))
        model.first.out_features = model.second.out_features = 3
        model.index = torch.tensor([0, 2, 3])
        save_pruned(tmp_path / "net", model, "tied_networks:Net", {}, allowed=["tied_networks"])
        rebuilt = load_pruned(tmp_path / "net", allowed=["tied_networks"])
        with pytest.raises(UserError, match="'tied_networks:Net' is not allowed: networks are built from"):
            load_pruned(tmp_path / "net")
    assert rebuilt.first.weight is rebuilt.second.weight and torch.equal(rebuilt.first.weight, model.first.weight)
    assert rebuilt.index.tolist() == [0, 2, 3] and rebuilt.first.out_features == 3


def test_the_random_state_is_left_alone(saved):
    state = torch.get_rng_state()
    load_pruned(saved)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_missing_description_or_weights_file(saved):
    saved.with_name("net.safetensors").unlink()
    with pytest.raises(UserError, match=r"the weights .*net\.safetensors cannot be read: No such file"):
        load_pruned(saved)
    with pytest.raises(UserError, match=r"there is no .*other\.json"):
        load_pruned(saved.with_name("other"))


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-100], lambda content: content[:-1] + bytes([content[-1] ^ 1])]
)
def test_damaged_weights_are_told(saved, damage):
    file = saved.with_name("net.safetensors")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError, match="their checksum is not the one noted"):
        load_pruned(saved)


def test_a_file_that_is_no_safetensors_is_told_even_with_the_right_checksum(saved):
    saved.with_name("net.safetensors").write_bytes(b"not tensors")
    edit(saved, sha256=hashlib.sha256(b"not tensors").hexdigest())
    with pytest.raises(UserError, match="are no safetensors file"):
        load_pruned(saved)


def test_a_broken_description_is_told(saved):
    file = saved.with_name("net.json")
    whole = file.read_text()
    for text, fault in ((whole[:40], "cannot be read as JSON"), ("[]", "does not describe a pruned network")):
        file.write_text(text)
        with pytest.raises(UserError, match=fault):
            load_pruned(saved)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"version": 2}, "has format version 2, this release reads version 1"),
        ({"colour": "red"}, "does not describe a pruned network: colour: Extra inputs are not permitted"),
        ({"arguments": []}, "arguments: Input should be a valid dictionary"),
        ({"factory": "os:system", "arguments": {"command": "true"}}, "'os:system' is not allowed"),
        ({"factory": "torchvision.models"}, "is not an import path of the form package.module:function"),
        ({"factory": "torchvision.models:__builtins__.eval"}, "is not an import path of the form"),
        ({"factory": "torchvision.modelsx:resnet18"}, "is not allowed"),
        ({"factory": "torchvision.models:no_such_net"}, "cannot be imported"),
        # imported by that module, but defined elsewhere: it would fetch and unpickle what the file says
        ({"factory": "torchvision.models._api:load_state_dict_from_url"}, "is no function or class of"),
        ({"factory": "torchvision.models:list_models", "arguments": {}}, "makes a list, not a network"),
        ({"factory": "torchvision.models:resnet18", "arguments": {"weights": "DEFAULT"}}, "leave out weights"),
        ({"factory": "torchvision.models:resnet18", "arguments": {"colour": 1}}, "does not build with"),
        ({"factory": "torchvision.models:resnet18", "arguments": {}, "attributes": {}}, "do not fit the network"),
        ({"attributes": {"0": {"forward": 1}}}, "sets 'forward' of the module '0', which has no such attribute"),
        ({"attributes": {"0": {"_parameters": {}}}}, "sets '_parameters'"),
        ({"attributes": {"nowhere": {"groups": 1}}}, "sets 'groups' of the module 'nowhere'"),
        ({"attributes": {}}, r"'0\.weight' is of shape \(8, 3, 3, 3\), it needs \(16, 3, 3, 3\)"),
    ],
)
def test_a_description_that_does_not_hold_is_one_sentence(saved, changes, fault):
    edit(saved, **changes)
    with pytest.raises(UserError, match=fault) as told:
        load_pruned(saved)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda tensors: tensors.pop("0.weight"), r"'0\.weight' is missing"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "'extra' is not one of the network's"),
        (
            lambda tensors: tensors.update({"0.weight": torch.zeros(8)}),
            r"'0\.weight' is torch\.float32 of shape \(8,\)",
        ),
        (lambda tensors: tensors.update({"0.weight": tensors["0.weight"].int()}), r"'0\.weight' is torch\.int32"),
    ],
)
def test_tensors_that_do_not_fit_are_told(saved, change, fault):
    file = saved.with_name("net.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    edit(saved, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    with pytest.raises(UserError, match=fault):
        load_pruned(saved)


def test_what_cannot_be_rebuilt_is_not_saved(tmp_path):
    pruned = halved(build(*PLAIN).eval())
    other = ("torchvision.models:resnet18", {})
    for origin, fault in (
        (other, "different modules"),
        ((PLAIN[0], PLAIN[1] | {"depth": {1}}), "cannot be written as JSON"),
        (("os:system", {}), "is not allowed"),
    ):
        with pytest.raises(UserError, match=fault):
            save_pruned(tmp_path / "net", pruned, *origin)
    assert not list(tmp_path.iterdir())


def test_the_documented_example_works_as_printed(tmp_path, monkeypatch):
    text = (Path(__file__).parents[3] / "docs/export.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", text, re.S)
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, names)
    assert torch.equal(outputs(names["same"], names["example"]), outputs(names["pruned"], names["example"]))
    assert {file.name for file in tmp_path.iterdir()} == {f"small.{s}" for s in ("json", "safetensors", "pt2", "onnx")}
