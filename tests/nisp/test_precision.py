"""Scores of networks in half precision agree with those of the same network in float64."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nisp


class Plain(nn.Module):
    """Every rule is exact or global: no response matters."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.depth, self.second = nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 6, 2, 2)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)))
        return self.head(F.silu(self.second(F.max_pool2d(self.depth(x), 2))).mean((2, 3)))


class Measured(nn.Module):
    """A gate, norms that measure their input, and attention."""

    def __init__(self):
        super().__init__()
        self.first, self.gate = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 8)
        self.groups, self.norm = nn.GroupNorm(2, 8), nn.LayerNorm(8)
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 4)

    def forward(self, x):
        x = self.groups(self.first(x))
        x = x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]
        q, k, v = self.qkv(self.norm(x.flatten(2).mT)).chunk(3, -1)
        return self.head(F.log_softmax(F.scaled_dot_product_attention(q, k, v), -1).mean(1))


class Mixed(nn.Module):
    """Its middle runs in another precision than the rest."""

    def __init__(self, body, dtype):
        super().__init__()
        self.body, self.dtype = body, dtype

    def forward(self, x):
        first, second = x.to(self.dtype).to(x.dtype), x.float().to(self.dtype)
        return self.body((first + second.type_as(x)) / 2)


class Autocast(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.body(x)


def made(kind):
    torch.manual_seed(0)
    return kind().eval()


def scores(model, wrap=lambda model: model):
    """By layer, and the same of the float64 network with equal weights."""
    example = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)).bfloat16()
    finals = torch.arange(1.0, FEATURES[type(model)])
    exact = nisp.scores(copy.deepcopy(model).double(), example.double(), frl_scores=finals)
    found = nisp.scores(wrap(model), example.float(), frl_scores=finals)
    return {name.removeprefix("body."): score for name, score in found.items()}, exact


FEATURES = {Plain: 7, Measured: 9}


def assert_agree(found, exact, tolerance):
    assert found.keys() == exact.keys() and len(exact) >= 3
    for name, score in exact.items():
        torch.testing.assert_close(found[name], score, rtol=tolerance, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_without_measured_responses_scores_are_those_of_the_rounded_weights(dtype):
    """Products with weights run in float32, so the network's precision adds no error of its own."""
    assert_agree(*scores(made(Plain).to(dtype)), 1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_measured_responses_are_as_precise_as_the_network(dtype):
    """A response behind a handful of layers is right to some ten roundings."""
    assert_agree(*scores(made(Measured).to(dtype)), 1e-5 + 10 * torch.finfo(dtype).eps)


def test_autocast_inside_the_network():
    assert_agree(*scores(made(Plain), Autocast), 1e-5)
    assert_agree(*scores(made(Measured), Autocast), 10 * torch.finfo(torch.bfloat16).eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_conversions_inside_the_network(dtype):
    assert_agree(*scores(made(Plain), lambda model: Mixed(model, dtype)), 1e-5)
    assert_agree(*scores(made(Measured), lambda model: Mixed(model, dtype)), 10 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("kind", [Plain, Measured])
def test_autocast_around_the_call(kind):
    model = made(kind)
    exact, _ = scores(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = scores(model)
    assert_agree(found, exact, 1e-5 if kind is Plain else 10 * torch.finfo(torch.bfloat16).eps)
