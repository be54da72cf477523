"""A pruned network computes the same as torch.export's program and in ONNX Runtime."""

import warnings

import pytest
import torch
import torchvision

from bench.models import plain
from nisp.errors import UserError
from nisp.pruning.saving.graph_formats import save_onnx, save_program
from tests.nisp.pruning.halving import IMAGES, halved, outputs

VIT = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
NETWORKS = {
    "plain": lambda: plain.build(depth=4, in_channels=3, image_size=32, classes=10),
    "resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "googlenet": lambda: torchvision.models.googlenet(num_classes=10, aux_logits=False, init_weights=False),
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(num_classes=10),
    "vit": lambda: torchvision.models.VisionTransformer(**VIT, num_classes=10),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_export_and_onnx_compute_the_same(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pruned = halved(NETWORKS[name])
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


class TwoInputs(torch.nn.Module):
    """An image and a vector; two outputs."""

    def __init__(self):
        super().__init__()
        self.image, self.vector = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(2, 4)

    def forward(self, image, vector):
        x = self.image(image) + self.vector(vector)[:, :, None, None]
        return {"maps": x, "mean": x.mean((2, 3))}


@pytest.mark.parametrize("named", [False, True])
def test_several_inputs_and_outputs_are_exported(named, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, inputs = TwoInputs().eval(), (IMAGES, torch.randn(3, 2))
    example = dict(zip(("image", "vector"), inputs, strict=True)) if named else inputs
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        save_onnx(tmp_path / "net.onnx", model, example)
        expected = list(model(*inputs).values())
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    fed = {put.name: x.numpy() for put, x in zip(session.get_inputs(), inputs, strict=True)}
    for found, right in zip(session.run(None, fed), expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(found), right, rtol=1e-3, atol=1e-4)


def test_exporting_leaves_the_network_in_its_mode(tmp_path):
    model = NETWORKS["plain"]().train()
    save_program(tmp_path / "net.pt2", model, IMAGES[:1])
    assert all(module.training for module in model.modules())


def test_onnx_without_its_packages_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"install nisp-bench\[export\]"):
        save_onnx(tmp_path / "net.onnx", NETWORKS["plain"](), IMAGES[:1])
