"""The families for CIFAR and ImageNet: sizes as published, and channels that surgery removes exactly."""

import pytest
import torch
from torch import nn

from bench.suite import plugins
from nisp.errors import UserError
from nisp.pruning.selection import keep_plan, kept_channels
from nisp.pruning.surgery import anatomy, removal_error, remove_channels
from tests.conftest import classifier_name

ZOO = [
    ("cifarnet", None, 32, 145_578),
    ("caffenet", None, 227, 60_965_224),  # bvlc_reference_caffenet
    ("alexnet", None, 224, 61_100_840),  # torchvision's table of weights says so for the next four
    ("googlenet", None, 224, 6_624_904),
    ("resnet_imagenet", 34, 224, 21_797_672),
    ("resnet_imagenet", 50, 224, 25_557_032),
    ("googlenet_caffe", None, 224, 6_998_552),  # bvlc_googlenet without auxiliary classifiers
]


def built(name, depth, size, classes):
    return plugins.load(plugins.MODELS, name).build(depth, 3, size, classes).eval()


@pytest.mark.parametrize(("name", "depth", "size", "params"), ZOO)
def test_it_has_the_published_number_of_parameters(name, depth, size, params):
    with torch.device("meta"):
        model = built(name, depth, size, 10 if name == "cifarnet" else 1000)
        assert model(torch.zeros(2, 3, size, size)).shape == (2, 10 if name == "cifarnet" else 1000)
    assert sum(p.numel() for p in model.parameters()) == params


@pytest.mark.parametrize(("name", "depth", "size", "params"), ZOO)
def test_every_layer_is_pruned_and_removal_is_exact(name, depth, size, params):
    """But where local response norms look at neighbouring channels: these are taken out for the comparison."""
    model = built(name, depth, min(size, 112), 10)
    for module in model.modules():
        for child, norm in list(module.named_children()):
            if isinstance(norm, nn.LocalResponseNorm):
                setattr(module, child, nn.Identity())
    images = torch.randn(2, 3, min(size, 112), min(size, 112))
    structure = anatomy(model, images)
    written = {producer.name for group in structure.groups for producer in group.producers}
    weighted = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert written == weighted - {classifier_name(model)}
    plan = keep_plan(structure.groups, 0.4)
    kept = {group.name: kept_channels(torch.rand(group.channels), plan[group.name]) for group in structure.groups}
    pruned = remove_channels(model, structure, kept)
    assert removal_error(model, pruned, structure, kept, images) < 1e-9


def test_parts_lose_the_same_channels():
    groups = {
        group.name: group for group in anatomy(built("caffenet", None, 227, 10), torch.zeros(1, 3, 227, 227)).groups
    }
    assert [groups[name].channels for name in ("conv1", "conv2", "conv3", "conv4", "conv5")] == [48, 128, 192, 192, 128]
    [conv3] = groups["conv3"].producers
    assert (conv3.outputs[:, 1] - conv3.outputs[:, 0] == 192).all()


@pytest.mark.parametrize("size", [28, 32])
def test_cifarnet_rounds_its_pools_up_like_caffe(size):
    model = built("cifarnet", None, size, 10)
    assert model.ip1.in_features == 64 * {28: 3, 32: 4}[size] ** 2
    assert model(torch.zeros(1, 3, size, size)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "depth", "channels", "size"),
    [("caffenet", None, 3, 64), ("alexnet", None, 3, 32), ("alexnet", None, 1, 224), ("googlenet", None, 1, 224),
     ("googlenet_caffe", None, 1, 224), ("resnet_imagenet", 34, 1, 224)],
)  # fmt: skip
def test_images_that_do_not_fit_are_one_sentence(name, depth, channels, size):
    with pytest.raises(UserError, match=name):
        plugins.load(plugins.MODELS, name).build(depth, channels, size, 10)
