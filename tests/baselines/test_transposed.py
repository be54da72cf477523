"""Every criterion on transposed convolutions: the same scores as on convolutions that compute the same function.

A transposed convolution is a convolution with its kernel flipped, inputs and outputs exchanged, on a map with zeros
inserted between its values.
"""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.suite import plugins
from nisp.errors import UserError
from nisp.pruning.budgets import layer_macs
from nisp.pruning.contract import silence
from nisp.pruning.multiplications import multiplications
from nisp.pruning.reconstruction import least_squares
from nisp.pruning.selection import kept_channels, select
from nisp.pruning.surgery import removal_error, remove_channels
from tests.conftest import problem

CRITERIA = plugins.available(plugins.CRITERIA)
CASES = {
    "stride 1": {"kernel_size": 3, "padding": 1},
    "dilated": {"kernel_size": 3, "padding": 2, "dilation": 2},
    "stride 2": {"kernel_size": 4, "stride": 2, "padding": 1},
    "output padding": {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
    "groups": {"kernel_size": 3, "padding": 1, "groups": 2},
    "depthwise": {"kernel_size": 3, "padding": 1, "groups": 6},
}
WITHOUT_GROUPS = ("thinet", "thinet_sequential", "lasso", "osscar")


def as_convolution(layer):
    """What comes before, and the convolution that computes what ``layer`` does then."""
    weight = torch.cat([part.transpose(0, 1) for part in layer.weight.detach().chunk(layer.groups)]).flip(2, 3)
    geometry = zip(layer.dilation, layer.kernel_size, layer.padding, strict=True)
    margins = [dilation * (kernel - 1) - padding for dilation, kernel, padding in geometry]
    padding, before = (margins, nn.Identity()) if layer.stride == (1, 1) else (0, Inserted(layer, margins[0]))
    convolution = nn.Conv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, 1, padding, layer.dilation, layer.groups
    )
    convolution.weight.data, convolution.bias.data = weight, layer.bias.detach().clone()
    return before, convolution


class Inserted(nn.Module):
    """Zeros between the values of a map, and around it."""

    def __init__(self, layer, margin):
        super().__init__()
        self.stride, self.before = layer.stride[0], margin
        self.after = margin + layer.output_padding[0] - self.stride + 1

    def forward(self, x):
        real = torch.zeros(1, 1, *[size * self.stride for size in x.shape[2:]], dtype=torch.float64)
        real[:, :, :: self.stride, :: self.stride] = 1
        x = F.interpolate(x, scale_factor=float(self.stride)) * real
        return F.pad(x, (self.before, self.after, self.before, self.after))


class Decoder(nn.Module):
    """Down, up by two transposed convolutions, a skip, and a classifier."""

    def __init__(self, options):
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 6, 3, padding=1)
        self.norm_up = nn.BatchNorm2d(6)
        self.insert = nn.Identity()
        self.wide = nn.ConvTranspose2d(6, 6, **options)
        self.norm_wide = nn.BatchNorm2d(6)
        self.join = nn.Conv2d(14, 5, 3)
        self.norm_join = nn.BatchNorm2d(5)
        self.classifier = nn.Linear(5, 10)

    def forward(self, x):
        low = F.relu(self.norm(self.down(x)))
        x = F.relu(self.norm_up(self.up(low)))
        x = F.relu(self.norm_wide(self.wide(self.insert(x))))
        x = torch.cat([x, F.interpolate(low, x.shape[2:])], 1)
        return self.classifier(F.relu(self.norm_join(self.join(x))).mean((2, 3)))


def pair(case):
    """The decoder, and the same function without transposed convolutions; both in float64."""
    net = Decoder(CASES[case]).double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    twin = Decoder(CASES[case]).double().eval()
    twin.load_state_dict(net.state_dict())
    _, twin.up = as_convolution(net.up)
    twin.insert, twin.wide = as_convolution(net.wide)
    return net, twin


def given(net, digits):
    found, structure = problem(net, digits, count=32)
    return dataclasses.replace(found, images=found.images.double()), structure


@pytest.mark.parametrize("case", CASES)
def test_the_two_networks_are_the_same_function_in_the_same_groups(case, digits):
    net, twin = pair(case)
    images = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(net(images), twin(images))
    (one, _), (other, _) = given(net, digits), given(twin, digits)
    assert [(g.name, g.channels) for g in one.groups] == [(g.name, g.channels) for g in other.groups]
    names = {producer.name for group in one.groups for producer in group.producers}
    assert names == {"down", "up", "wide", "join"}, "every layer loses channels"
    for group, same in zip(one.groups, other.groups, strict=True):
        for part, equal in zip(group.producers, same.producers, strict=True):
            assert part.name == equal.name and torch.equal(part.outputs, equal.outputs)
        for part, equal in zip(group.consumers, same.consumers, strict=True):
            assert part.name == equal.name and torch.equal(part.inputs, equal.inputs)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_scores_them_alike(name, case, digits):
    net, twin = pair(case)
    score = plugins.load(plugins.CRITERIA, name).score
    (one, _), (other, _) = given(net, digits), given(twin, digits)
    if name in WITHOUT_GROUPS and case == "groups":
        for each in (one, other):
            with pytest.raises(UserError, match="layer wide is not a plain convolution"):
                score(each)
        return
    scores, wanted = score(one), score(other)
    if name in ("lbl", "flap") and "stride" in CASES[case]:
        del scores["up"], wanted["up"]  # their scores are of the maps that a layer reads, here with zeros inserted
    assert any(values.unique().numel() > 1 for values in wanted.values())
    for group, values in wanted.items():
        torch.testing.assert_close(scores[group].double(), values.double(), rtol=1e-6, atol=1e-9)
        keep = one.keep[group]
        assert torch.equal(kept_channels(scores[group], keep), kept_channels(values, keep))


@pytest.mark.parametrize("case", [case for case in CASES if case != "groups"])
def test_layers_are_solved_again_alike(case, digits):
    (refits, images, solved), (wanted, _, same) = (_solved(net, digits) for net in pair(case))
    assert [(refit.layer, refit.ridge) for refit in refits] == [(refit.layer, refit.ridge) for refit in wanted]
    for refit, other in zip(refits, wanted, strict=True):
        assert refit.error == pytest.approx(other.error, rel=1e-6)
        assert refit.error <= refit.error_before
    torch.testing.assert_close(solved(images), same(images))


def _solved(net, digits):
    """The refits of a network that has lost half of its channels, calibration images, and the network."""
    found, _ = given(net, digits)
    kept = {group.name: torch.arange(found.keep[group.name]) for group in found.groups}
    silenced = copy.deepcopy(net)
    for group in found.groups:
        silence(silenced, group, kept[group.name])
    refits = least_squares(net, silenced, found.groups, kept, found.images, found.images[:8], 0)
    return refits, found.images, silenced


@pytest.mark.parametrize("case", CASES)
def test_removal_and_its_budget(case, digits):
    net, _ = pair(case)
    one, structure = given(net, digits)
    kept = select(plugins.load(plugins.CRITERIA, "magnitude").score(one), one.keep)
    small = remove_channels(net, structure, kept)
    assert removal_error(net, small, structure, kept, one.images[:3]) < 1e-14
    assert small.wide.weight.numel() < net.wide.weight.numel() and small.up.out_channels < 6
    fresh = nn.ConvTranspose2d(
        small.wide.in_channels, small.wide.out_channels, **CASES[case] | {"groups": small.wide.groups}
    )
    assert fresh.weight.shape == small.wide.weight.shape and fresh.bias.shape == small.wide.bias.shape
    net.float()
    macs = layer_macs(net, structure)
    assert macs.base == sum(multiplications(net, structure.example).values())
    assert macs.estimated(one.keep) == pytest.approx(macs.measured(one.keep), rel=1e-9)
