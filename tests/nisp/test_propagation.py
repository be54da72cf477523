"""Propagation against a dense oracle: every layer as an explicit matrix, multiplied by hand."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.contract import Group, Producer, kept_channels
from nisp import propagate


def dense(layer, shape):
    """|J| of a layer at inputs of ``shape`` (c, h, w), shape (outputs, inputs), and the shape of its output.

    Written out from the definitions of convolution and pooling, one entry at a time.
    """
    c, h, w = shape
    if isinstance(layer, nn.Flatten):
        return torch.eye(c * h * w).double(), (c * h * w, 1, 1)
    if isinstance(layer, nn.ReLU | nn.Dropout | nn.LocalResponseNorm):
        return torch.eye(c * h * w).double(), shape
    if isinstance(layer, nn.Linear):
        return layer.weight.detach().double().abs(), (layer.out_features, 1, 1)
    if isinstance(layer, nn.BatchNorm2d):
        gain = layer.weight.detach().double().abs() / torch.sqrt(layer.running_var.double() + layer.eps)
        return torch.diag(gain.repeat_interleave(h * w)), shape
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        matrix = torch.zeros(c, c * h * w).double()
        for channel in range(c):
            matrix[channel, channel * h * w : (channel + 1) * h * w] = 1 / (h * w)
        return matrix, (c, 1, 1)
    conv = isinstance(layer, nn.Conv2d)
    k, s, p = (v if isinstance(v, tuple) else (v, v) for v in (layer.kernel_size, layer.stride, layer.padding))
    d = layer.dilation if conv else (1, 1)
    oh, ow = ((n + 2 * q - e * (m - 1) - 1) // t + 1 for n, q, e, m, t in zip((h, w), p, d, k, s, strict=True))
    outs = layer.out_channels if conv else c
    matrix = torch.zeros(outs, oh, ow, c, h, w).double()
    for o, y, x in itertools.product(range(outs), range(oh), range(ow)):
        inputs = (
            range(
                c // layer.groups * (o // (outs // layer.groups)), c // layer.groups * (o // (outs // layer.groups) + 1)
            )
            if conv
            else [o]
        )
        for index, i in enumerate(inputs):
            for a, b in itertools.product(range(k[0]), range(k[1])):
                row, column = y * s[0] - p[0] + a * d[0], x * s[1] - p[1] + b * d[1]
                if 0 <= row < h and 0 <= column < w:
                    matrix[o, y, x, i, row, column] += (
                        layer.weight[o, index, a, b].detach().double().abs()
                        if conv
                        else 1.0
                        if isinstance(layer, nn.MaxPool2d)
                        else 1 / (k[0] * k[1])
                    )
    return matrix.reshape(outs * oh * ow, c * h * w), (outs, oh, ow)


def oracle(layers, shape, frl_scores, keep=None):
    """Scores of each conv or linear layer but the last, from the back: s_k = |W|^T s_{k+1}, channels summed."""
    matrices, shapes = [], [shape]
    for layer in layers:
        matrix, shape = dense(layer, shape)
        matrices.append(matrix)
        shapes.append(shape)
    scores, s = {}, frl_scores.double()
    for index in range(len(layers) - 2, -1, -1):
        after_norm = isinstance(layers[index], nn.BatchNorm2d)
        bare = isinstance(layers[index], nn.Conv2d | nn.Linear) and not isinstance(layers[index + 1], nn.BatchNorm2d)
        if after_norm or bare:
            name = str(index - 1 if after_norm else index)
            maps = s.reshape(shapes[index + 1])
            scores[name] = maps.sum((1, 2))
            if keep:
                mask = torch.zeros(len(maps)).double()
                mask[kept_channels(scores[name], keep[name])] = 1
                s = (maps * mask[:, None, None]).flatten()
        s = matrices[index].T @ s
    return scores


def norm(channels):
    layer = nn.BatchNorm2d(channels)
    layer.running_var.uniform_(0.5, 2)
    nn.init.normal_(layer.weight)
    return layer


def nets():
    conv, relu = nn.Conv2d, nn.ReLU
    return {
        "fully connected": (
            [nn.Flatten(), nn.Linear(72, 9), relu(), nn.Linear(9, 7), relu(), nn.Linear(7, 3)], (2, 6, 6),
        ),
        "lenet": (
            [conv(1, 4, 3), relu(), nn.MaxPool2d(2), conv(4, 5, 3, padding=1), relu(), nn.Dropout(), nn.Flatten(),
             nn.Linear(45, 6), relu(), nn.Linear(6, 3)], (1, 8, 8)),
        "strides, dilation, groups": (
            [conv(2, 4, (3, 2), stride=(2, 1), padding=1, bias=False), norm(4), relu(inplace=True),
             conv(4, 6, 3, padding=2, dilation=2, groups=2), relu(), nn.AvgPool2d(2, padding=1), nn.Flatten(),
             nn.Linear(72, 3)], (2, 9, 5)),
        "overlapping pools, lrn": (
            [conv(1, 3, 3, padding=1), relu(), nn.LocalResponseNorm(3), nn.MaxPool2d(3, 2, 1), conv(3, 4, 3), norm(4),
             relu(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)], (1, 9, 9)),
    }  # fmt: skip


def group(channels, *producers):
    """All outputs of the producers, one to one."""
    outputs = torch.arange(channels)[:, None]
    return Group(producers[0], tuple(Producer(name, outputs) for name in producers), (), channels)


def groups_of(layers):
    weighted = [str(i) for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d | nn.Linear)]
    return tuple(group(len(layers[int(name)].weight), name) for name in weighted[:-1])


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("name", nets())
def test_equals_the_dense_oracle(name, joint):
    layers, shape = nets()[name]
    groups = groups_of(layers)
    keep = {group.name: group.channels - 1 for group in groups} if joint else None
    frl = torch.rand(layers[-1].in_features).double()
    net = nn.Sequential(*layers).double()
    scores = propagate(net, torch.zeros(1, *shape), str(len(layers) - 1), frl, groups, keep)
    expected = oracle(layers, shape, frl, keep)
    assert scores.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(scores[name], expected[name], rtol=1e-10, atol=1e-10)


class Branches(nn.Module):
    """A stem, a residual block with identity, and a concat of two branches."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.left, self.right = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.classifier = nn.Linear(6 * 16, 2)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = x + torch.relu(self.inner(x))
        return self.classifier(torch.cat([self.left(x), self.right(x)], 1).flatten(1))


def test_branches_add_up_at_forks_and_the_coupled_group_sums_its_tensors():
    model, shape = Branches().double(), (3, 4, 4)
    groups = (group(3, "stem", "inner"), group(2, "left"), group(4, "right"))
    frl = torch.rand(96).double()
    scores = propagate(model, torch.zeros(1, 1, 4, 4), "classifier", frl, groups)
    left, right, inner = (dense(layer, shape)[0] for layer in (model.left, model.right, model.inner))
    at_sum = left.T @ frl[:32] + right.T @ frl[32:]
    at_stem = at_sum + inner.T @ at_sum
    torch.testing.assert_close(scores["left"], frl[:32].reshape(2, 16).sum(1))
    torch.testing.assert_close(scores["stem"], (at_sum + at_stem).reshape(3, 16).sum(1), rtol=1e-10, atol=1e-10)


def test_summands_of_one_addition_count_once():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.classifier = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            return self.classifier(self.a(x) + self.b(x))

    frl = torch.tensor([1.0, 2.0, 3.0])
    scores = propagate(Sum(), torch.zeros(1, 4), "classifier", frl, (group(3, "a", "b"),))
    assert scores["a"].tolist() == [1, 2, 3]


def small_net(seed):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 4, 3, bias=False), norm(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 2), nn.ReLU(),
              nn.Flatten(), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3)]  # fmt: skip
    return nn.Sequential(*layers).double().eval()


GROUPS = (group(4, "0"), group(5, "4"), group(6, "7"))
EXAMPLE = torch.zeros(1, 1, 8, 8)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), a=st.floats(0, 10), b=st.floats(0, 10))
def test_scores_are_not_negative_and_linear_in_the_final_scores(seed, a, b):
    net, (first, second) = small_net(seed), torch.rand(2, 6).double()
    one, two, both = (propagate(net, EXAMPLE, "9", s, GROUPS) for s in (first, second, a * first + b * second))
    for group in one:
        assert (one[group] >= 0).all()
        torch.testing.assert_close(both[group], a * one[group] + b * two[group], rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_permuting_channels_permutes_scores(seed):
    net, frl = small_net(seed), torch.rand(6).double()
    before = propagate(net, EXAMPLE, "9", frl, GROUPS)
    order = torch.randperm(4)
    with torch.no_grad():
        for tensor in (net[0].weight, net[1].weight, net[1].bias, net[1].running_mean, net[1].running_var):
            tensor.copy_(tensor[order].clone())
        net[4].weight.copy_(net[4].weight[:, order].clone())
    after = propagate(net, EXAMPLE, "9", frl, GROUPS)
    torch.testing.assert_close(after["0"], before["0"][order], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(after["4"], before["4"], rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), channel=st.integers(0, 3))
def test_the_bound_holds(seed, channel):
    """Zeroing a channel changes the weighted final responses by at most score times its largest response."""
    net, frl = small_net(seed), torch.rand(6).double()
    image = torch.randn(1, 1, 8, 8).double()
    score = propagate(net, EXAMPLE, "9", frl, GROUPS)["0"][channel]
    response = net[:2](image)
    without = response.clone()
    without[:, channel] = 0
    error = (frl * (net[2:9](response) - net[2:9](without)).abs()).sum()
    assert error <= score * response[:, channel].abs().max() + 1e-9


def test_the_model_is_left_as_it_was():
    net = small_net(0)
    net.train()
    net[1].eval()
    weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    propagate(net, EXAMPLE, "9", torch.ones(6), GROUPS)
    assert net.training and net[0].training and not net[1].training
    assert all(torch.equal(weights[name], tensor) for name, tensor in net.state_dict().items())
    assert not net[0]._forward_hooks and all(parameter.grad is None for parameter in net.parameters())
