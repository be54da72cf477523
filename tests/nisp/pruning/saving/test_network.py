"""Pruned networks come back from files, with and without a factory, wherever their classes are known."""

import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

import nisp.pruning.saving.builders
from bench.models import plain
from nisp.errors import UserError
from nisp.pruning.saving import load, save
from nisp.pruning.saving.import_paths import ALLOWED
from tests.nisp.pruning.halving import IMAGES, halved, outputs, randomised
from tests.nisp.pruning.saved_networks import Plain

ROOT = Path(__file__).parents[4]
VIT = {
    "image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32,
    "num_classes": 10,
}  # fmt: skip
PLAIN = ("bench.models.plain:build", {"depth": 4, "in_channels": 3, "image_size": 32, "classes": 10})
WITH_BENCH = ["bench.models"]
FACTORIES = {
    "plain": PLAIN,
    "resnet18": ("torchvision.models:resnet18", {"num_classes": 10}),
    "googlenet": ("torchvision.models:googlenet", {"num_classes": 10, "aux_logits": False, "init_weights": False}),
    "mobilenet_v2": ("torchvision.models:mobilenet_v2", {"num_classes": 10}),
    "vit": ("torchvision.models:VisionTransformer", VIT),
    "timm": ("timm:create_model", {"model_name": "test_resnet", "num_classes": 10}),
}
WITHOUT_FACTORY = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "googlenet": lambda: torchvision.models.googlenet(num_classes=10, init_weights=False),
    "mobilenet_v3_small": lambda: torchvision.models.mobilenet_v3_small(num_classes=10),
    "densenet121": lambda: torchvision.models.densenet121(num_classes=10),
    "vit_b_16": lambda: torchvision.models.vit_b_16(image_size=32, num_classes=10),
    "swin_t": lambda: torchvision.models.swin_t(num_classes=10),
    "alexnet": lambda: torchvision.models.alexnet(num_classes=10),
    "convnext_tiny": lambda: torchvision.models.convnext_tiny(num_classes=10),
    "efficientnet_v2_s": lambda: torchvision.models.efficientnet_v2_s(num_classes=10),
    "swin_v2_t": lambda: torchvision.models.swin_v2_t(num_classes=10),
    "efficientnet_b0": lambda: torchvision.models.efficientnet_b0(num_classes=10),
    "inception_v3": lambda: torchvision.models.inception_v3(num_classes=10, init_weights=False),
    "maxvit_t": lambda: torchvision.models.maxvit_t(num_classes=10),
    "mnasnet0_5": lambda: torchvision.models.mnasnet0_5(num_classes=10),
    "regnet_y_400mf": lambda: torchvision.models.regnet_y_400mf(num_classes=10),
    "shufflenet_v2_x0_5": lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=10),
    "squeezenet1_1": lambda: torchvision.models.squeezenet1_1(num_classes=10),
    "vgg11_bn": lambda: torchvision.models.vgg11_bn(num_classes=10),
    "timm resnet": lambda: timm.create_model("test_resnet", num_classes=10),
    "timm vit": lambda: timm.create_model("test_vit", img_size=32, num_classes=10),
    "timm efficientnet": lambda: timm.create_model("test_efficientnet", num_classes=10),
    "timm levit": lambda: timm.create_model("levit_128s", num_classes=10),
}
SIZES = {"alexnet": 64, "inception_v3": 96, "maxvit_t": 224, "timm levit": 224}
PRUNED = ("resnet18", "googlenet", "mobilenet_v3_small", "densenet121", "timm resnet", "timm vit", "timm efficientnet")


@dataclass(frozen=True)
class Result:
    """What pruning returns, as far as saving reads it."""

    model: nn.Module
    macs: int = 10
    macs_before: int = 20
    params: int = 3
    removal_error: float = 1e-15
    kept: str = "not written"


def assert_same(loaded, model, images=IMAGES):
    assert torch.equal(outputs(loaded, images), outputs(model, images))
    assert str(loaded) == str(model)  # channels, groups, widths: all that the modules say of themselves
    assert not any(module.training for module in loaded.modules())


@pytest.mark.parametrize("name", WITHOUT_FACTORY)
def test_networks_of_torchvision_and_timm_come_back_without_a_factory(name, tmp_path):
    images = torch.randn(1, 3, *[SIZES.get(name, 32)] * 2, generator=torch.Generator().manual_seed(1))
    model = halved(WITHOUT_FACTORY[name], images) if name in PRUNED else randomised(WITHOUT_FACTORY[name])
    save(model, tmp_path)
    assert_same(load(tmp_path), model, images)


@pytest.mark.parametrize("name", FACTORIES)
def test_a_network_comes_back_by_its_factory(name, tmp_path):
    factory, arguments = FACTORIES[name]
    pruned = halved(lambda: nisp.pruning.saving.builders.build(factory, arguments, [*ALLOWED, *WITH_BENCH]))
    save(pruned, tmp_path, factory, arguments, allowed=WITH_BENCH)
    rebuilt = load(tmp_path, allowed=WITH_BENCH)
    assert_same(rebuilt, pruned)
    rebuilt.train()(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in rebuilt.parameters())


def test_a_network_loads_where_no_pruning_code_was_imported(tmp_path):
    model = halved(WITHOUT_FACTORY["timm resnet"])
    save(model, tmp_path / "net")
    torch.save({"images": IMAGES, "outputs": outputs(model)}, tmp_path / "expected.pt")
    program = (
        "import sys, torch, nisp\n"
        "torch.set_num_threads(1)\n"
        "model = nisp.load('net')\n"
        "expected = torch.load('expected.pt', weights_only=True)\n"
        "with torch.no_grad():\n"
        "    assert torch.equal(model(expected['images']), expected['outputs'])\n"
        "used = {name for name in sys.modules if name.startswith(('nisp', 'bench', 'pydantic', 'pandas'))}\n"
        "print(*sorted(used))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    files = ("builders", "changes", "import_paths", "layer_shapes", "network", "plain_values", "rebuilding")
    files += ("stored_files", "structure")
    packages = ("nisp", "nisp.errors", "nisp.lazy", "nisp.pruning", "nisp.pruning.saving", "nisp.whole_files")
    assert done.stdout.split() == sorted([*packages, *(f"nisp.pruning.saving.{name}" for name in files)])


def test_what_pruning_returns_is_saved_with_its_numbers(tmp_path):
    save(Result(Plain()), tmp_path)
    noted = json.loads((tmp_path / "network.json").read_text())["numbers"]
    assert noted == {"macs": 10, "macs_before": 20, "params": 3, "removal_error": 1e-15}
    save(Result(Plain(), removal_error=float("nan")), str(tmp_path))
    assert "removal_error" not in json.loads((tmp_path / "network.json").read_text())["numbers"]
    assert load(str(tmp_path)).body[0].out_features == 3


def test_loaded_tensors_are_aligned_as_torch_aligns_its_own(tmp_path):
    save(WITHOUT_FACTORY["timm vit"](), tmp_path)
    assert {tensor.data_ptr() % 64 for tensor in load(tmp_path).state_dict().values()} == {0}


def test_saving_leaves_the_network_and_the_random_state_alone(tmp_path):
    model = WITHOUT_FACTORY["timm resnet"]().train()
    before, state = {name: t.clone() for name, t in model.state_dict().items()}, torch.get_rng_state()
    save(model, tmp_path)
    load(tmp_path)
    assert all(module.training for module in model.modules()) and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def test_an_own_class_loads_where_it_is_imported_or_allowed(tmp_path):
    (tmp_path / "own_networks.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, width):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(width, 1)\n"
        "    def forward(self, x):\n"
        "        return self.layer(x)\n"
    )
    net = tmp_path / "net"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        import own_networks

        save(own_networks.Net(3), net)
        patch.delitem(sys.modules, "own_networks")
        with pytest.raises(UserError, match=r"import own_networks first, or pass allowed=\['own_networks'\]"):
            load(net)
        assert "own_networks" not in sys.modules
        assert load(net, allowed="own_networks").layer.in_features == 3
        assert load(net).layer.in_features == 3  # imported now


def test_a_failed_save_leaves_the_old_files(tmp_path, monkeypatch):
    save(Plain(), tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(Path, "write_text", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        save(nn.Linear(2, 2), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_folder_that_is_a_file_is_reported(tmp_path):
    (tmp_path / "net").touch()
    with pytest.raises(UserError, match="cannot be written"):
        save(Plain(), tmp_path / "net")
    with pytest.raises(UserError, match="cannot be read as JSON"):
        load(tmp_path / "net")


def test_safetensors_that_is_not_installed_is_reported(tmp_path, monkeypatch):
    save(Plain(), tmp_path)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    for call in (lambda: save(Plain(), tmp_path / "other"), lambda: load(tmp_path)):
        with pytest.raises(UserError, match=r"need the package safetensors: install nisp-bench\[saving\]"):
            call()
    assert [file.name for file in tmp_path.iterdir() if file.is_dir()] == []


def test_what_the_factory_does_not_build_is_not_saved(tmp_path):
    pruned = halved(lambda: plain.build(**PLAIN[1]))
    for origin, fault in (
        (("torchvision.models:resnet18", {}), "different modules"),
        ((PLAIN[0], PLAIN[1] | {"depth": {1}}), "cannot be written as JSON"),
        ((PLAIN[0], PLAIN[1] | {"depth": float("nan")}), "cannot be written as JSON"),
        (("os:system", {}), "is not allowed"),
        ((None, {"depth": 4}), "arguments= needs factory="),
    ):
        with pytest.raises(UserError, match=fault):
            save(pruned, tmp_path / "net", *origin, allowed=WITH_BENCH)
    with pytest.raises(UserError, match="this has the type OrderedDict"):
        save(pruned.state_dict(), tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_the_documented_example_works_as_printed(tmp_path, monkeypatch):
    text = (ROOT / "docs/export.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", text, re.S)
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code, names)
    for name in ("same", "again"):
        assert torch.equal(outputs(names[name], names["example"]), outputs(names["pruned"], names["example"]))
    assert {file.name for file in tmp_path.iterdir()} == {"small", "by_factory", "small.pt2", "small.onnx"}
