"""NISP-Mag, layer by layer and the response bound against their formulas, written out by hand."""

import copy
import importlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nisp import inf_fs
from nisp.errors import UserError
from nisp.pruning.contract import Consumer, Group, Problem, Producer
from nisp.pruning.selection import keep_plan, kept_channels
from nisp.pruning.surgery import anatomy
from tests.conftest import Grouped, build, problem


def score(name, given, **options):
    return importlib.import_module(f"nisp.criteria.{name}").score(given, **options)


def given_of(model, images, classifier, ratio=0.5):
    groups = anatomy(model.eval(), images[:1]).groups
    labels = torch.zeros(len(images), dtype=torch.long)
    return Problem(model, groups, keep_plan(groups, ratio), images, labels, classifier, 0)


def perceptron():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3))


def absolute(net):
    """The network without ReLUs' and batch norms' shifts, and with absolute weights: for inputs >= 0."""
    net = copy.deepcopy(net).double()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
        for name, parameter in module.named_parameters(recurse=False):
            parameter.data = torch.zeros_like(parameter) if name == "bias" else parameter.data.abs()
    return net


def test_nisp_mag_sums_the_weights_that_write_a_final_response_then_propagates():
    model = perceptron()
    found = score("nisp_mag", given_of(model, torch.randn(9, 6), "4"))
    hidden = model[2].weight.detach().double().abs()
    finals = hidden.sum(1)
    torch.testing.assert_close(found["2"], finals)
    left = torch.zeros(4).double().index_fill(0, kept_channels(finals, 2), 1)
    torch.testing.assert_close(found["0"], hidden.T @ (finals * left))


def test_nisp_mag_of_a_residual_net_adds_up_the_filters_of_all_summands(digits):
    net = build("resnet", 8)
    given, _ = problem(net, digits)
    block = net.blocks[2]
    writers = [block.conv2.weight, block.shortcut[0].weight]
    expected = sum(weight.detach().abs().flatten(1).sum(1) for weight in writers)
    [final] = [group.name for group in given.groups if group.read_by(net_classifier(net))]
    torch.testing.assert_close(score("nisp_mag", given)[final], expected.double())


def net_classifier(net):
    return next(name for name, module in net.named_modules() if isinstance(module, nn.Linear))


def test_nisp_mag_gives_all_positions_of_a_flattened_channel_the_channels_weights():
    model = nn.Sequential(nn.Conv2d(1, 4, 3, groups=1), nn.Flatten(), nn.Linear(16, 2))
    found = score("nisp_mag", given_of(model, torch.randn(5, 1, 4, 4), "2"))
    torch.testing.assert_close(found["0"], 4 * model[0].weight.detach().double().abs().flatten(1).sum(1))


def test_nisp_mag_refuses_final_responses_that_no_layer_writes():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    given = given_of(model, torch.randn(5, 6), "2")
    with pytest.raises(UserError, match="cannot rank all inputs of 0:"):
        score("nisp_mag", Problem(model, given.groups, given.keep, given.images, given.labels, "0", 0))


class Partly(nn.Module):
    """A classifier that reads the input beside a layer that can be pruned, and overwrites what it has read."""

    def __init__(self):
        super().__init__()
        self.first, self.classifier = nn.Linear(6, 8), nn.Linear(14, 2)

    def forward(self, x):
        read = torch.cat([torch.relu(self.first(x)), x], 1)
        answer = self.classifier(read)
        read.zero_()
        return answer


def partly():
    places = torch.arange(8)[:, None]
    group = Group("first", (Producer("first", places),), (Consumer("classifier", places),), 8)
    images = torch.randn(20, 6)
    return Problem(Partly().eval(), (group,), {"first": 4}, images, torch.zeros(20).long(), "classifier", 0)


def test_nisp_mag_refuses_final_responses_of_which_some_are_written_by_no_layer():
    with pytest.raises(UserError, match="cannot rank all inputs of classifier:"):
        score("nisp_mag", partly())


def test_lbl_ranks_what_was_read_not_what_became_of_it():
    given = partly()
    read = torch.relu(given.model.first(given.images)).detach()
    torch.testing.assert_close(score("lbl", given)["first"], inf_fs(read), rtol=1e-5, atol=1e-9)


def test_lbl_is_nisps_own_ranking_at_the_final_layer(digits):
    given, _ = problem(build("lenet", None), digits)
    finals, own = score("nisp", given)["7"], score("lbl", given)["7"]
    torch.testing.assert_close(own, finals)


def test_lbl_of_a_residual_net_counts_each_tensor_that_is_read_once(digits):
    net = build("resnet", 8)
    given, _ = problem(net, digits)
    found = score("lbl", given)
    with torch.no_grad():
        stem = torch.relu(net.bn(net.conv(given.images)))
        first = net.blocks[0](stem)
        inner = torch.relu(net.blocks[0].bn1(net.blocks[0].conv1(stem)))
    ranked = {name: inf_fs(maps.mean((2, 3))) for name, maps in (("stem", stem), ("first", first), ("inner", inner))}
    torch.testing.assert_close(found["conv"], ranked["stem"] + ranked["first"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["blocks.0.conv1"], ranked["inner"], rtol=1e-4, atol=1e-4)


def test_lbl_of_a_flattened_map_averages_its_positions(digits):
    net = build("lenet", None)
    given, _ = problem(net, digits)
    maps = net[:6](given.images).detach()
    torch.testing.assert_close(score("lbl", given)["3"], inf_fs(maps.mean((2, 3))), rtol=1e-4, atol=1e-4)


def test_lbl_does_not_depend_on_the_batches(digits):
    from nisp.pruning.layer_inputs import layer_inputs

    net = build("plain", 4)
    given, _ = problem(net, digits)
    one, many = (layer_inputs(net, given.groups, given.images, torch.clone, batch) for batch in (64, 7))
    for name, parts in one.items():
        torch.testing.assert_close(torch.cat(many[name]), parts[0], rtol=1e-4, atol=1e-4)


def test_response_bound_of_a_perceptron():
    model = perceptron()
    images = torch.randn(40, 6)
    given = given_of(model, images, "4")
    found = score("response_bound", given)
    hidden, final = (model[:n](images).detach().double() for n in (2, 4))
    finals = inf_fs(final.float())
    bounds = finals * final.abs().mean(0)
    torch.testing.assert_close(found["2"], bounds)
    left = torch.zeros(4).double().index_fill(0, kept_channels(bounds, 2), 1)
    propagated = model[2].weight.detach().double().abs().T @ (finals * left)
    torch.testing.assert_close(found["0"], propagated * hidden.abs().mean(0), rtol=1e-5, atol=1e-7)


def test_response_bound_weighs_each_position_of_a_flattened_map(digits):
    net = build("lenet", None)
    given, _ = problem(net, digits)
    found = score("response_bound", given, joint=False)
    with torch.no_grad():
        maps, finals = (net[:n](given.images).double() for n in (7, 9))
        propagated = inf_fs(finals.float()) @ net[7].weight.double().abs()
    expected = (propagated * maps.abs().mean(0)).reshape(50, -1).sum(1)
    torch.testing.assert_close(found["3"], expected, rtol=1e-4, atol=1e-6)


def test_response_bound_of_a_residual_net_adds_up_the_tensors_that_are_read(digits):
    net = build("resnet", 8)
    given, _ = problem(net, digits)
    found = score("response_bound", given, joint=False)
    with torch.no_grad():
        stem = torch.relu(net.bn(net.conv(given.images)))
        first = net.blocks[0](stem)
        finals = net.pool(net.blocks(stem)).flatten(1)
    bounds = absolute(net)
    start = torch.ones(1, *stem.shape[1:]).double().requires_grad_()
    middle = bounds.blocks[0](start)
    (F.adaptive_avg_pool2d(bounds.blocks[1:](middle), 1).flatten() @ inf_fs(finals)).backward(inputs=[start, middle])
    expected = sum((x.grad[0] * y.double().abs().mean(0)).sum((1, 2)) for x, y in ((start, stem), (middle, first)))
    torch.testing.assert_close(found["conv"], expected, rtol=1e-4, atol=1e-6)


def test_grouped_convolutions_are_read_in_all_their_parts():
    net = Grouped().eval()
    images = torch.randn(30, 1, 8, 8)
    given = given_of(net, images, "classifier")
    [group] = [group for group in given.groups if group.name == "first"]
    maps = torch.relu(net.first(images)).detach()
    assert group.channels == 4, "one of each part"
    places = group.producers[0].outputs
    expected = inf_fs(maps.mean((2, 3))[:, places].mean(-1))
    torch.testing.assert_close(score("lbl", given)["first"], expected, rtol=1e-4, atol=1e-6)
    found = score("response_bound", given, joint=False)["first"]
    finals = (
        torch.relu(net.last(torch.relu(net.norm(net.depthwise(torch.relu(net.parts(maps))))))).mean((2, 3)).detach()
    )
    start = torch.ones(1, *maps.shape[1:]).double().requires_grad_()
    bounds = absolute(net)
    (bounds.last(bounds.norm(bounds.depthwise(bounds.parts(start)))).mean((0, 2, 3)) @ inf_fs(finals)).backward(
        inputs=[start]
    )
    expected = (start.grad[0] * maps.double().abs().mean(0)).sum((1, 2))[places].sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_nisp_uniform_sums_the_paths_to_the_final_responses():
    model = perceptron()
    found = score("nisp_uniform", given_of(model, torch.randn(9, 6), "4"), joint=False)
    assert found["2"].tolist() == [1] * 4
    torch.testing.assert_close(found["0"], model[2].weight.detach().double().abs().sum(0))


def test_lbl_of_tokens_ranks_their_mean_over_positions():
    """A linear layer that reads (n, tokens, channels): a feature is a channel's mean over an image's tokens."""
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)).eval()
    tokens = torch.randn(30, 4, 3)
    groups = anatomy(net, tokens[:1]).groups
    given = Problem(net, groups, {"0": 2}, tokens, torch.zeros(30), "2", 0)
    with torch.no_grad():
        expected = inf_fs(net[:2](tokens).mean(1))
    torch.testing.assert_close(score("lbl", given)["0"], expected)
