"""Published criteria against torch-pruning, the formula written out, or all choices tried."""

import copy
import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torch_pruning as tp
from sklearn.linear_model import Lasso
from torch import nn
from torch_pruning.pruner import importance

from baselines.chip import independence
from baselines.lasso import selection, system
from baselines.obd_c import drawn_labels
from bench.contract import Consumer, Group, Producer, kept_channels, silence
from bench.patches import sampled_rows
from tests.conftest import Grouped, build, problem

NETS = [("lenet", None), ("resnet", 8)]


def score(name, given, **options):
    return importlib.import_module(f"baselines.{name}").score(given, **options)


def peer_scores(given, criterion):
    """torch-pruning's scores of the same groups, in the order of our channels."""
    graph = tp.DependencyGraph().build_dependency(copy.deepcopy(given.model).requires_grad_(), given.images[:1])
    found = {}
    for group in given.groups:
        layer = graph.model.get_submodule(group.producers[0].name)
        prune = tp.prune_linear_out_channels if isinstance(layer, nn.Linear) else tp.prune_conv_out_channels
        found[group.name] = criterion(graph.get_pruning_group(layer, prune, list(range(group.channels))))
    return found, graph.model


def maps_of_the_stem(net, images):
    """What the two layers that write a ResNet-8's first group respond with."""
    with torch.no_grad():
        stem = net.bn(net.conv(images))
        block = net.blocks[0]
        inner = torch.relu(block.bn1(block.conv1(torch.relu(stem))))
        return stem, block.bn2(block.conv2(inner))


@pytest.mark.parametrize("model", NETS)
def test_group_norm_is_torch_prunings(model, digits):
    given, _ = problem(build(*model), digits)
    expected, _ = peer_scores(given, tp.importance.GroupMagnitudeImportance(2, group_reduction="sum", normalizer=None))
    for name, values in score("group_norm", given).items():
        torch.testing.assert_close(values.float(), expected[name])


def test_bn_scale_is_torch_prunings(digits):
    given, _ = problem(build("resnet", 8), digits)
    peer = tp.importance.BNScaleImportance(group_reduction="sum", normalizer=None)
    expected, _ = peer_scores(given, peer)
    for name, values in score("bn_scale", given).items():
        torch.testing.assert_close(values, expected[name])


def test_bn_scale_and_group_norm_of_parts(digits):
    net = Grouped().eval()
    given, _ = problem(net, digits)
    [first] = [group for group in given.groups if group.name == "first"]
    writers = net.first.weight.detach().double().square().sum((1, 2, 3))[first.producers[0].outputs].sum(1)
    readers = net.parts.weight.detach().double().square().sum((0, 2, 3))
    torch.testing.assert_close(score("group_norm", given)["first"], writers + readers)


def test_fpgm_is_the_sum_of_distances_over_all_filters(digits):
    net = build("resnet", 8)
    given, _ = problem(net, digits)
    filters = [w.detach().double().flatten(1).numpy() for w in (net.conv.weight, net.blocks[0].conv2.weight)]
    expected = [sum(np.linalg.norm(layer - layer[i], axis=1).sum() for layer in filters) for i in range(16)]
    np.testing.assert_allclose(score("fpgm", given)["conv"], expected)


def test_fpgm_of_parts_takes_a_channels_filters_as_one(digits):
    net = Grouped().eval()
    given, _ = problem(net, digits)
    [first] = [group for group in given.groups if group.name == "first"]
    filters = net.first.weight.detach().double().flatten(1)[first.producers[0].outputs].flatten(1).numpy()
    expected = [np.linalg.norm(filters - row, axis=1).sum() for row in filters]
    np.testing.assert_allclose(score("fpgm", given)["first"], expected)


@pytest.mark.parametrize(
    ("model", "group"), [(("lenet", None), "3"), (("resnet", 8), "conv"), (("resnet", 8), "blocks.1.conv1")]
)
def test_taylor_is_the_derivative_by_a_factor_on_all_that_writes_a_channel(model, group, digits):
    """Against central differences: biases are scaled with the weights, and batch norms in the layers' place."""
    net = build(*model).double()
    given, _ = problem(net, digits, count=12)
    given = replace(given, images=given.images.double())
    behind = {"conv": ["bn", "blocks.0.bn2"], "blocks.1.conv1": ["blocks.1.bn1"], "3": ["3"]}[group]
    found = score("taylor", given)[group]
    for channel in (0, 5):
        losses = []
        for factor in (1 + 1e-5, 1 - 1e-5):
            scaled = copy.deepcopy(net)
            with torch.no_grad():
                for name in behind:
                    scaled.get_submodule(name).weight[channel] *= factor
                    scaled.get_submodule(name).bias[channel] *= factor
                losses.append(F.cross_entropy(scaled(given.images), given.labels, reduction="none"))
        slopes = (losses[0] - losses[1]) / 2e-5
        assert found[channel].item() == pytest.approx((slopes**2).mean().item(), rel=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", NETS)
def test_obd_c_is_torch_prunings(model, digits):
    bare = build(*model)
    for module in bare.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.bias = None  # with a bias, the peer's matrices do not fit each other
    given, _ = problem(bare, digits, count=20)
    peer = importance.OBDCImportance(group_reduction="sum", normalizer=None, num_classes=10)
    _, net = peer_scores(given, lambda group: None)
    peer.modules = [net.get_submodule(p.name) for group in given.groups for p in group.producers]
    for layer in peer.modules:
        layer.register_forward_pre_hook(peer._save_input)
        layer.register_full_backward_hook(peer._save_grad_output)
    F.cross_entropy(net(given.images), drawn_labels(given, given.images)).backward()
    peer.step()
    graph = tp.DependencyGraph().build_dependency(net, given.images[:1])
    found = score("obd_c", given)
    for group in given.groups:
        layer = net.get_submodule(group.producers[0].name)
        prune = tp.prune_linear_out_channels if isinstance(layer, nn.Linear) else tp.prune_conv_out_channels
        expected = peer(graph.get_pruning_group(layer, prune, list(range(group.channels))))
        # The peer adds up over 20 images in its one step, where ours is the mean, and has no half.
        torch.testing.assert_close(40 * found[group.name].float(), expected, rtol=1e-3, atol=1e-7)


def test_hrank_is_the_mean_rank_of_the_rectified_maps(digits):
    net = build("resnet", 8)
    given, _ = problem(net, digits, count=6)
    ranks = [
        [np.mean([np.linalg.matrix_rank(image[i].clamp_min(0).numpy()) for image in maps]) for i in range(16)]
        for maps in maps_of_the_stem(net, given.images)
    ]
    np.testing.assert_allclose(score("hrank", given)["conv"], np.sum(ranks, 0))


def test_hrank_of_maps_of_known_rank():
    """Weights that copy the image: rows all alike, a constant, and the image itself."""
    conv = nn.Conv2d(3, 3, 1, bias=False)
    conv.weight.data = torch.eye(3)[:, :, None, None]
    net = nn.Sequential(conv, nn.Flatten(), nn.Linear(48, 2))
    image = torch.stack([torch.arange(1.0, 5).expand(4, 4), torch.zeros(4, 4), torch.eye(4)])[None]
    given = given_of(net, image)
    assert score("hrank", given)["0"].tolist() == [1, 0, 4]


def given_of(net, images):
    from bench.contract import Problem
    from bench.surgery import anatomy, keep_plan

    groups = anatomy(net.eval(), images[:1]).groups
    return Problem(net, groups, keep_plan(groups, 0.5), images, torch.zeros(len(images), dtype=torch.long), "2", 0)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (40, 1), (1, 8)])
@pytest.mark.parametrize("kind", ["full", "dead rows", "twins"])
def test_chips_independence_is_the_drop_of_the_nuclear_norm(shape, kind):
    maps = torch.randn(shape).double()
    if kind == "dead rows":
        maps[::2] = 0
    if kind == "twins":
        maps[1:3] = maps[:1]
    whole = np.linalg.svd(maps.numpy(), compute_uv=False).sum()
    without = [np.linalg.svd(np.delete(maps.numpy(), i, 0), compute_uv=False).sum() for i in range(shape[0])]
    np.testing.assert_allclose(independence(maps), whole - np.array(without), atol=2e-5)


def test_chip_adds_up_the_layers_that_write_a_channel(digits):
    net = build("resnet", 8)
    given, _ = problem(net, digits, count=4)
    expected = 0
    for maps in maps_of_the_stem(net, given.images):
        for image in maps.clamp_min(0).double().flatten(2).numpy():
            norm = np.linalg.norm(image, "nuc")
            masked = [image * (np.arange(16) != i)[:, None] for i in range(16)]
            expected += np.array([norm - np.linalg.norm(m, "nuc") for m in masked]) / 4
    np.testing.assert_allclose(score("chip", given)["conv"], expected, rtol=1e-4, atol=1e-4)


def parts_of(model, rows, channels):
    """Each channel's part of the reader's outputs, one column a channel, and all rows and outputs below each other."""
    weight = model[2].weight.detach()
    inputs = rows["2"].inputs.flatten(1).reshape(len(rows["2"].inputs), channels, -1)
    return torch.einsum("mct,oct->moc", inputs, weight.reshape(len(weight), channels, -1)).flatten(0, 1).double()


@pytest.mark.parametrize("flat", [False, True])
def test_lassos_normal_equations_and_choice_are_those_of_all_rows(flat):
    torch.manual_seed(3)
    reader = [nn.Flatten(), nn.Linear(6 * 16, 4)] if flat else [nn.ReLU(), nn.Conv2d(6, 4, 3)]
    model = nn.Sequential(nn.Conv2d(1, 6, 3), *reader)
    images = torch.randn(25, 1, 6, 6)
    inputs = torch.arange(96 if flat else 6).reshape(6, -1)
    group = Group("0", (Producer("0", torch.arange(6)[:, None]),), (Consumer("2", inputs),), 6)
    rows = sampled_rows(model, ("2",), images, 0)
    products, moments = system(model, group, rows, rows)
    parts = parts_of(model, rows, 6)
    target = (rows["2"].outputs - model[2].bias.detach()).flatten().double()
    torch.testing.assert_close(products, parts.T @ parts, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moments, parts.T @ target, rtol=1e-4, atol=1e-4)
    chosen = selection(products, moments, 3)
    assert chosen.count_nonzero() == 3
    for penalty in np.geomspace(1e-5, 10, 400):
        full = Lasso(penalty, fit_intercept=False, tol=1e-8, max_iter=10_000).fit(parts.numpy(), target.numpy()).coef_
        if np.count_nonzero(full) == 3:
            break
    assert set(np.flatnonzero(full)) == set(chosen.nonzero()[:, 0].tolist())


def test_lasso_finds_the_best_subset_where_channels_do_not_overlap():
    """Orthogonal parts: whichever choice loses least is the largest; all 10 choices of 3 of 5 are tried."""
    from itertools import combinations

    sizes = torch.tensor([3.0, 1, 5, 2, 4]).double()
    products = torch.diag(sizes**2)
    best = max(combinations(range(5), 3), key=lambda kept: (sizes[list(kept)] ** 2).sum().item())
    found = selection(products, products.diagonal(), 3)
    assert tuple(found.nonzero()[:, 0].tolist()) == best


def test_lasso_of_channels_that_vanish_together_and_of_dead_ones():
    alike = torch.ones(4, 4).double() + torch.eye(4).double()
    assert selection(alike, torch.ones(4).double(), 2).count_nonzero() >= 2
    dead = torch.diag(torch.tensor([4.0, 0, 0, 1]).double())
    assert selection(dead, dead.diagonal(), 3).nonzero()[:, 0].tolist() == [0, 3]
    assert selection(torch.zeros(3, 3).double(), torch.zeros(3).double(), 2).tolist() == [0, 0, 0]


def test_lassos_second_layer_sees_the_pruned_first_and_aims_at_the_original(digits):
    net = build("plain", 4)
    given, _ = problem(net, digits)
    found = score("lasso", given)
    first, second = given.groups[:2]
    pruned = copy.deepcopy(net)
    silence(pruned, first, kept_channels(found[first.name], given.keep[first.name]))
    layers = tuple(consumer.name for consumer in second.consumers)
    targets, rows = (sampled_rows(model, layers, given.images, 0) for model in (net, pruned))
    products, moments = system(pruned, second, rows, targets)
    expected = selection(products, moments, given.keep[second.name]).abs()
    torch.testing.assert_close(found[second.name], expected)
    assert not torch.equal(moments, system(pruned, second, rows, rows)[1])
