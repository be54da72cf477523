"""Parameters that are not used as they are: frozen norms, computed gains, cast, transposed, tied and shared weights."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from nisp.pruning.surgery import anatomy
from tests.nisp.pruning.channels.test_channels import Net, producers, pruned_at

EXAMPLE = torch.randn(1, 1, 6, 6)


def vector(*shape):
    return nn.Parameter(torch.rand(*shape) + 0.5)


def conv(outputs=8, inputs=8, **options):
    return nn.Conv2d(inputs, outputs, 1, **options)


def standardised(net, x):
    weight = net.conv.weight
    mean, deviation = weight.mean((1, 2, 3), keepdim=True), weight.std((1, 2, 3), keepdim=True)
    return F.conv2d(x, (weight - mean) / deviation * net.gain[:, None, None, None], net.conv.bias)


def called_functionally(net, x):
    return F.conv2d(x, net.conv.weight, net.conv.bias)


def autoencoder(net, x):
    tokens = x.flatten(2).transpose(1, 2)
    return F.linear(torch.relu(net.code(tokens)), net.code.weight.t()).transpose(1, 2) + x.flatten(2)


def low_rank(net, x):
    tokens = x.flatten(2).transpose(1, 2)
    return F.linear(tokens, net.l.weight + net.up.weight @ net.down.weight, net.l.bias).transpose(1, 2)


def tokens_times(weight):
    return lambda net, x: (x.flatten(2).transpose(1, 2) @ weight(net)).transpose(1, 2)


def twice(net, x):
    return net.one(net.conv(x)) + F.interpolate(net.two(net.conv(F.avg_pool2d(x, 2))), size=(6, 6))


def levels(net, x):
    """A head of shared layers over several levels, with norms of each level."""
    found = [net.norms[i](net.conv(each)).relu() for i, each in enumerate((x, F.max_pool2d(x, 2)))]
    return torch.cat([net.last(each).flatten(2) for each in found], 2)


def norm_twice(net, x):
    return net.norm(net.conv(torch.relu(net.norm(x))))


CASES = {
    # name: (what is done, channels read by the head, layers, the layers whose channels can go)
    "expanded as the activation": (lambda n, x: x * n.g.expand_as(x), 8, {"g": vector(1, 8, 1, 1)}, {"stem"}),
    "a power of e": (lambda n, x: x * n.g.exp(), 8, {"g": vector(1, 8, 1, 1)}, {"stem"}),
    "one more": (lambda n, x: x * (1 + n.g)[None, :, None, None], 8, {"g": vector(8)}, {"stem"}),
    "viewed and doubled": (lambda n, x: x + n.g.view(1, -1, 1, 1) * 2, 8, {"g": vector(8)}, {"stem"}),
    "by the activation's own number of channels": (
        lambda n, x: x * n.g.view(1, x.shape[1], 1, 1).expand(x.shape), 8, {"g": vector(8)}, {"stem"}),
    "two vectors together": (
        lambda n, x: x * (n.g / n.h.sqrt()).view(8, 1, 1), 8, {"g": vector(8), "h": vector(8)}, set()),
    "two vectors, any size": (
        lambda n, x: x * (n.g / n.h.sqrt()).view(-1, 1, 1), 8, {"g": vector(8), "h": vector(8)}, {"stem"}),
    "transposed and cast": (
        lambda n, x: x * n.g.t()[..., None].to(x.dtype).type_as(x), 8, {"g": vector(1, 8)}, {"stem"}),
    "a share of the sum": (lambda n, x: n.conv(x * (n.g / n.g.sum())[:, None, None]), 8,
                           {"g": vector(8), "conv": conv()}, {"conv"}),
    "softmax of a vector": (lambda n, x: n.conv(x * n.g.softmax(0)[:, None, None]), 8,
                            {"g": vector(8), "conv": conv()}, {"conv"}),
    "in another order": (lambda n, x: n.conv(x * n.g.flip(0)[:, None, None]), 8,
                         {"g": vector(8), "conv": conv()}, {"conv"}),
    "a part of a vector": (lambda n, x: n.conv(x * n.g[:8, None, None]), 8,
                           {"g": vector(12), "conv": conv()}, {"conv"}),
    "times a constant of each channel": (lambda n, x: n.conv(x * (n.g * torch.arange(8.))[:, None, None]), 8,
                                         {"g": vector(8), "conv": conv()}, {"conv"}),
    "for each position": (lambda n, x: x * n.g.exp(), 8, {"g": vector(6, 6)}, {"stem"}),
    "a bound of each channel": (lambda n, x: torch.maximum(x, n.g.exp()[:, None, None]).clamp(max=n.g[:, None, None]),
                                8, {"g": vector(8)}, {"stem"}),
    "frozen norm": (lambda n, x: n.norm(n.conv(x)), 8, {"conv": conv(), "norm": FrozenBatchNorm2d(8)},
                    {"stem", "conv"}),
    "called functionally": (called_functionally, 8, {"conv": conv()}, {"stem", "conv"}),
    "cast": (lambda n, x: F.conv2d(x, n.conv.weight.to(x.dtype), n.conv.bias.to(x.dtype)), 8, {"conv": conv()},
             {"stem", "conv"}),
    "cast to another type": (
        lambda n, x: F.conv2d(x, n.conv.weight.double().to(x.dtype)), 8, {"conv": conv()}, {"stem", "conv"}),
    "a gain of each output": (
        lambda n, x: F.conv2d(x, n.conv.weight * n.gain[:, None, None, None]), 8,
        {"conv": conv(), "gain": vector(8)}, {"stem", "conv"}),
    "a gain of each input": (
        lambda n, x: F.conv2d(x, n.conv.weight * n.gain[:, None, None].exp()), 8,
        {"conv": conv(), "gain": vector(8)}, {"stem", "conv"}),
    "depthwise with a gain": (
        lambda n, x: F.conv2d(x, n.conv.weight * n.gain[:, None, None, None], n.conv.bias, groups=x.shape[1]), 8,
        {"conv": conv(8, 8, groups=8), "gain": vector(8)}, {"stem", "conv"}),
    "depthwise by a layer's own number of groups": (
        lambda n, x: F.conv2d(x, n.conv.weight * n.gain[:, None, None, None], None, groups=n.conv.groups), 8,
        {"conv": conv(8, 8, groups=8), "gain": vector(8)}, {"stem", "conv"}),
    "depthwise by a constant number": (lambda n, x: n.conv(F.conv2d(x, n.blur, groups=8)), 8,
                                       {"conv": conv(), "blur": vector(8, 1, 1, 1)}, {"conv"}),
    "depthwise by a bare weight": (lambda n, x: n.conv(F.conv2d(x, n.blur, groups=x.shape[1])), 8,
                                   {"conv": conv(), "blur": vector(8, 1, 1, 1)}, {"stem", "conv"}),
    "grouped with a gain": (
        lambda n, x: F.conv2d(x, n.conv.weight * n.gain[:, None, None, None], n.conv.bias, groups=2), 8,
        {"conv": conv(8, 8, groups=2), "gain": vector(8)}, {"stem", "conv"}),
    "shifted": (lambda n, x: F.conv2d(x, n.conv.weight + 1), 8, {"conv": conv()}, {"conv"}),
    "standardised": (standardised, 8, {"conv": conv(), "gain": vector(8)}, {"conv"}),
    "a bare weight": (lambda n, x: n.conv(F.linear(x.flatten(2).mT, n.w).mT[..., None]), 8,
                      {"conv": conv(8, 5), "w": vector(5, 8)}, {"conv"}),
    "a bare weight between": (
        lambda n, x: n.conv(F.conv2d(n.first(x), n.w)), 8,
        {"first": conv(6), "conv": conv(8, 5), "w": vector(5, 6, 1, 1)},
        {"stem", "conv"}),
    "a bare weight's outputs beside a layer's": (
        lambda n, x: n.conv(n.pre(x)) + F.conv2d(x, n.w), 8,
        {"pre": conv(4), "conv": conv(8, 4), "w": vector(8, 8, 1, 1)}, {"pre", "conv"}),
    "an embedding's weight": (lambda n, x: n.conv(F.linear(x.flatten(2).mT, n.table.weight).mT[..., None]), 8,
                              {"conv": conv(8, 5), "table": nn.Embedding(5, 8)}, {"conv"}),
    "a layer and its transpose": (autoencoder, 8, {"code": nn.Linear(8, 6)}, {"stem"}),
    "a low-rank update": (
        low_rank, 5, {"l": nn.Linear(8, 5), "down": nn.Linear(8, 2, bias=False), "up": nn.Linear(2, 5, bias=False)},
        {"stem", "l", "up"}),
    "matrix product with a layer's weight": (tokens_times(lambda n: n.l.weight.t()), 5, {"l": nn.Linear(8, 5)},
                                             {"stem", "l"}),
    "matrix product with a bare weight": (tokens_times(lambda n: n.w), 5, {"w": vector(8, 5)}, set()),
    "one layer at two resolutions": (twice, 8, {"conv": conv(), "one": nn.BatchNorm2d(8), "two": nn.BatchNorm2d(8)},
                                     {"stem", "conv"}),
    "one head for two levels": (
        levels, 4, {"conv": conv(), "norms": nn.ModuleList([nn.BatchNorm2d(8), nn.BatchNorm2d(8)]), "last": conv(4)},
        {"stem", "conv", "last"}),
    "one norm twice": (norm_twice, 8, {"conv": conv(), "norm": nn.BatchNorm2d(8)}, {"stem", "conv"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_can_go_where_weights_are_computed(case):
    body, channels, layers, expected = CASES[case]
    net = Net(lambda n, x: body(n, n.early(x)), channels, **layers)
    net.stem, net.early = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 1)
    found = {layer for group in producers(pruned_at(net, EXAMPLE)[0]) for layer in group}
    assert found == {"stem"} | {"early" if layer == "stem" else layer for layer in expected}


def test_frozen_norms_leave_the_same_groups():
    frozen, plain = (
        torchvision.models.resnet18(norm_layer=norm).eval() for norm in (FrozenBatchNorm2d, nn.BatchNorm2d)
    )
    frozen.load_state_dict(plain.state_dict(), strict=False)
    for model in (frozen, plain):
        torch.manual_seed(0)
        for module in model.modules():
            if isinstance(module, FrozenBatchNorm2d | nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 2)
                module.weight.data.uniform_(0.5, 2)
    example = torch.randn(1, 3, 64, 64)
    (ours, smaller), (theirs, expected) = (pruned_at(model, example) for model in (frozen, plain))
    assert producers(ours) == producers(theirs) and ours.sizes == theirs.sizes
    expected = expected.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in smaller.state_dict().items())


def test_parameters_stay_frozen_and_buffers_are_cut():
    net = Net(lambda n, x: n.conv(x) * n.mask[:, None, None] * n.g.exp()[:, None, None], 8, conv=conv(), g=vector(8))
    net.register_buffer("mask", torch.rand(8) > 0.1)
    for parameter in (net.g, net.conv.weight):
        parameter.requires_grad_(False)
    _, pruned = pruned_at(net, EXAMPLE)
    assert pruned.mask.shape == (4,) and pruned.mask.dtype == torch.bool
    assert {name: p.requires_grad for name, p in pruned.named_parameters()} == {
        name: p.requires_grad for name, p in net.named_parameters()
    }


def test_a_parameter_with_two_names_stays_one():
    net = Net(lambda n, x: x * n.g.exp()[:, None, None] + n.h[:, None, None], 8, g=vector(8))
    net.h = net.g
    _, pruned = pruned_at(net, EXAMPLE)
    assert pruned.g is pruned.h and pruned.g.shape == (4,) and net.g.shape == (8,)


def test_the_network_keeps_its_parameters():
    net = Net(lambda n, x: x * n.g.exp()[:, None, None], 8, g=vector(8)).eval()
    before = dict(net.named_parameters())
    anatomy(net, EXAMPLE)
    assert all(parameter is before[name] for name, parameter in net.named_parameters())
