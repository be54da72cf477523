import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.digits import load
from nisp.pruning.contract import Problem
from nisp.pruning.selection import keep_plan
from nisp.pruning.surgery import anatomy

EMBEDDED = [("lenet", None)] + [("plain", d) for d in (4, 6, 8, 10, 14)] + [("resnet", d) for d in (8, 14, 20)]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    return load(tmp_path_factory.mktemp("data"), 0)


def build(name, depth):
    """A model of the zoo with random weights and batch-norm statistics that are not the defaults."""
    model = importlib.import_module(f"bench.models.{name}").build(depth, 1, 8, 10).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, -1.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.3)
    return model


class Grouped(torch.nn.Module):
    """A convolution in two parts, and a depthwise one."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 8, 3)
        self.parts = torch.nn.Conv2d(8, 6, 3, groups=2)
        self.depthwise = torch.nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm = torch.nn.BatchNorm2d(6)
        self.last = torch.nn.Conv2d(6, 4, 1)
        self.classifier = torch.nn.Linear(4, 10)

    def forward(self, x):
        x = torch.relu(self.parts(torch.relu(self.first(x))))
        x = torch.relu(self.norm(self.depthwise(x)))
        return self.classifier(torch.relu(self.last(x)).mean((2, 3)))


def classifier_name(model):
    """The last linear layer."""
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)][-1]


def problem(model, dataset, ratio=0.5, seed=0, count=64):
    classifier = classifier_name(model)
    parts = anatomy(model, dataset.example)
    split = dataset.calibration(count, seed)
    return Problem(model, parts.groups, keep_plan(parts.groups, ratio), *split, classifier, seed), parts


def write_photographs(root, classes=3, train=8, test=4):
    """A tree train/<class>/*.JPEG and val/<class>/*.JPEG of small photographs, each class of a hue of its own."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("val", test)):
        for label in range(classes):
            folder = root / part / f"n{label:08}"
            folder.mkdir(parents=True)
            for index in range(count):
                height, width = rng.integers(70, 110, 2)
                pixels = rng.integers(0, 100, (height, width, 3), dtype=np.uint8)
                pixels[:, :, label % 3] += 150
                Image.fromarray(pixels).save(folder / f"{folder.name}_{index}.JPEG", quality=90)
