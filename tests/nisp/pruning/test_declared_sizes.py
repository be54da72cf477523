"""Attributes that declare numbers of channels are right after pruning, and what libraries compute with stays."""

import copy

import pytest
import torch
from torch import nn

import nisp
from nisp.pruning.selection import keep_plan
from nisp.pruning.surgery import anatomy, removal_error, remove_channels

timm = pytest.importorskip("timm")

FAMILIES = (
    "resnet10t", "resnetv2_18d", "efficientnet_b0", "mobilenetv2_050", "mobilenetv3_small_050", "regnetx_002",
    "densenet121", "vgg11", "convnext_atto", "repvgg_a0", "ghostnet_050", "hardcorenas_a", "edgenext_xx_small",
    "vit_tiny_patch16_224", "dla34", "mnasnet_050", "lcnet_050", "rexnet_100", "cspresnet50", "vovnet39a",
    "hgnetv2_b0", "repvit_m0_9", "starnet_s1", "skresnet18",
)  # fmt: skip
FIXED_SIZE = ("vit_tiny_patch16_224", "vgg11")


def halved(model, example):
    structure = anatomy(model, example)
    kept = {name: torch.arange(count) for name, count in keep_plan(structure.groups, 0.5).items()}
    return remove_channels(model, structure, kept).eval()


def built(name, **options):
    size = 224 if name in FIXED_SIZE else 64
    return timm.create_model(name, pretrained=False, **options).eval(), torch.randn(1, 3, size, size)


def shown(model, example):
    """Sizes of the dimensions of what each module that ``feature_info`` names writes."""
    found, modules = {}, dict(model.named_modules())
    handles = [
        modules[entry["module"]].register_forward_hook(
            lambda _, __, output, name=entry["module"]: found.update({name: tuple(output.shape)})
        )
        for entry in model.feature_info
    ]
    model(example)
    for handle in handles:
        handle.remove()
    return [found[entry["module"]] for entry in model.feature_info]


@torch.no_grad()
@pytest.mark.parametrize("name", FAMILIES)
def test_timms_own_methods_work_after_pruning(name):
    model, example = built(name)
    before = model.num_features, model.head_hidden_size, [entry["num_chs"] for entry in model.feature_info]
    pruned = halved(model, example)
    assert (model.num_features, model.head_hidden_size, [e["num_chs"] for e in model.feature_info]) == before
    for entry, shape in zip(pruned.feature_info, shown(pruned, example), strict=True):
        assert entry["num_chs"] in (shape[1], shape[-1])
    features = pruned.forward_features(example)
    assert pruned.num_features in (features.shape[1], features.shape[-1])
    assert pruned.forward_head(features, pre_logits=True).shape == (1, pruned.head_hidden_size)
    pruned.reset_classifier(7)
    assert pruned(example).shape == (1, 7)


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet10t", "efficientnet_b0", "regnetx_002"])
def test_networks_of_features_alone_say_the_channels_that_they_return(name):
    model, example = built(name, features_only=True, out_indices=(1, 3))
    pruned = halved(model, example)
    assert pruned.feature_info.channels() == [part.shape[1] for part in pruned(example)]
    inner = pruned.feature_info.info[2]
    assert inner["num_chs"] < model.feature_info.info[2]["num_chs"] or name != "efficientnet_b0"


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "options"),
    [("mobilenetv3_small_050", {}), ("efficientnet_b0", {"features_only": True, "out_indices": [1, 3]})],
)
def test_what_was_declared_is_saved_and_loaded(name, options, tmp_path):
    model, example = built(name, **options)
    pruned = halved(model, example)
    arguments = {"model_name": name, "pretrained": False, **options}
    nisp.save(pruned, tmp_path / "a", factory="timm:create_model", arguments=arguments)
    folders = [tmp_path / "a"]
    if not options:
        nisp.save(pruned, tmp_path / "b")
        folders.append(tmp_path / "b")
    for folder in folders:
        loaded = nisp.load(folder)
        for one, other in ((loaded, pruned), (loaded, model)):
            infos = [getattr(net.feature_info, "info", net.feature_info) for net in (one, other)]
            assert (infos[0] == infos[1]) == (other is pruned)
        if not options:
            assert (loaded.num_features, loaded.head_hidden_size) == (144, 512)
            loaded.reset_classifier(7)
            assert loaded(example).shape == (1, 7)


class Block(nn.Module):
    """Declares its widths, and computes with one number that equals its input's width."""

    def __init__(self, read, written, divisor):
        super().__init__()
        self.conv = nn.Conv2d(read, written, 1)
        self.in_channels, self.out_channels, self.in_planes, self.out_dim = read, written, divisor, 5
        self.embed_dim = True

    def forward(self, x):
        return torch.relu(self.conv(x)) / self.in_planes


def test_numbers_that_a_network_computes_with_are_left_alone():
    net = nn.Sequential(Block(3, 8, 1), Block(8, 6, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)).eval()
    example = torch.randn(2, 3, 4, 4)
    structure = anatomy(net, example)
    kept = {"0.conv": [1, 5, 7], "1.conv": [0, 2]}
    pruned = remove_channels(net, structure, kept)
    assert (pruned[0].in_channels, pruned[0].out_channels) == (3, 3)
    assert (pruned[1].in_channels, pruned[1].out_channels, pruned[1].in_planes, pruned[1].out_dim) == (3, 2, 8, 5)
    assert pruned[1].embed_dim is True and net[1].in_channels == 8
    assert removal_error(net, pruned, structure, kept, example) < 1e-12


class Counting(nn.Module):
    """Declares a width, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.conv, self.out_channels, self.calls = nn.Conv2d(3, 8, 1), 8, 0

    def forward(self, x):
        self.calls += 1
        return self.conv(x)


def test_looking_leaves_no_trace_in_either_network():
    net = nn.Sequential(Counting(), nn.Flatten(), nn.Linear(8 * 16, 2)).eval()
    structure = anatomy(net, torch.randn(1, 3, 4, 4))
    calls = net[0].calls
    pruned = remove_channels(net, structure, {"0.conv": [0]})
    assert net[0].calls == calls and pruned[0].out_channels == 1
    assert not any(module._forward_hooks for part in (net, pruned) for module in part.modules())


def test_torchvisions_blocks_say_their_widths():
    torchvision = pytest.importorskip("torchvision")
    model, example = torchvision.models.mobilenet_v2(width_mult=0.35).eval(), torch.randn(1, 3, 64, 64)
    pruned = halved(model, example)
    declared, read = {}, copy.deepcopy(pruned)
    for name, module in read.named_modules():
        if not isinstance(module, nn.Conv2d | nn.BatchNorm2d) and hasattr(module, "out_channels"):
            module.register_forward_hook(lambda _, __, output, name=name: declared.update({name: output.shape[1]}))
    with torch.no_grad():
        read(example)
    assert len(declared) > 20
    assert declared == {name: pruned.get_submodule(name).out_channels for name in declared}
