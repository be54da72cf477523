import importlib
from itertools import combinations

import pytest
import torch
from torch import nn

from baselines._greedy import removal_order
from bench.suite import plugins
from nisp.errors import UserError
from nisp.pruning.contract import Consumer, Group, silence
from nisp.pruning.sampling import sampled_rows
from nisp.pruning.selection import kept_channels
from tests.conftest import Grouped, build, problem

UNFIT = {
    ("bn_scale", "lenet"): "0: there is no batch norm",
    ("bn_scale", "grouped"): "first: there is no batch norm",
    **{(name, "grouped"): "layer parts" for name in ("thinet", "thinet_sequential", "lasso", "osscar")},
}
"""Criterion and network that do not go together: what the refusal names."""


@pytest.mark.parametrize("name", plugins.available(plugins.CRITERIA))
@pytest.mark.parametrize("model", [("lenet", None), ("plain", 4), ("resnet", 8), ("grouped", None)])
def test_every_criterion_keeps_the_contract(name, model, digits):
    net = Grouped().eval() if model[0] == "grouped" else build(*model)
    next(net.parameters()).requires_grad_(False)
    list(net.parameters())[-1].grad = torch.ones(10)
    list(net.modules())[1].train()
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    given, _ = problem(net, digits)
    score = plugins.load(plugins.CRITERIA, name).score
    if (name, model[0]) in UNFIT:
        with pytest.raises(UserError, match=UNFIT[name, model[0]]):
            score(given)
        return
    torch.manual_seed(1)
    scores = score(given)
    torch.manual_seed(2)
    again = score(given)
    assert set(scores) == {group.name for group in given.groups}
    for group in given.groups:
        assert scores[group.name].shape == (group.channels,)
        assert scores[group.name].isfinite().all()
        assert torch.equal(scores[group.name], again[group.name]), "the same seed gives the same scores"
    assert scores[given.groups[0].name].unique().numel() > 1, "not all channels are alike"
    assert all(torch.equal(before[key], tensor) for key, tensor in net.state_dict().items()), "the model is unchanged"
    assert [module.training for module in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == [False] + [True] * (len(list(net.parameters())) - 1)
    assert all(p.grad is None for p in list(net.parameters())[:-1]) and list(net.parameters())[-1].grad.eq(1).all()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


class Headed(nn.Module):
    """A network with an auxiliary head, which runs in training only."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.head, self.aux_norm, self.aux = nn.Conv2d(6, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Linear(4, 10)
        self.classifier = nn.Linear(6, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        main = self.classifier(x.mean((2, 3)))
        return (main, self.aux(torch.relu(self.aux_norm(self.head(x))).mean((2, 3)))) if self.training else main


@pytest.mark.parametrize("name", plugins.available(plugins.CRITERIA))
def test_auxiliary_heads_are_scored_and_change_nothing(name, digits):
    given, _ = problem(Headed().eval(), digits)
    scores = plugins.load(plugins.CRITERIA, name).score(given)
    assert {group: len(values) for group, values in scores.items()} == {"conv": 6, "head": 4}
    assert all(values.isfinite().all() for values in scores.values())


def test_magnitude_is_the_l1_norm_of_a_filter_summed_over_a_coupled_group(digits):
    net = build("resnet", 8)
    given, _ = problem(net, digits)
    scores = importlib.import_module("baselines.magnitude").score(given)
    filters = [net.conv.weight, net.blocks[0].conv2.weight]
    expected = [sum(w[i].detach().abs().sum().item() for w in filters) for i in range(16)]
    assert scores["conv"].tolist() == pytest.approx(expected)


def test_random_differs_between_seeds(digits):
    score = importlib.import_module("baselines.random").score
    first, second = (score(problem(build("plain", 4), digits, seed=seed)[0]) for seed in (0, 1))
    assert not torch.equal(first["0"], second["0"])


def test_thinets_first_choice_and_costs_against_brute_force():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    group = Group("0", (), (Consumer("2", torch.arange(4)[:, None]),), 4)
    rows = sampled_rows(model, ("2",), torch.randn(20, 1, 6, 6), seed=0)
    parts = torch.einsum("mct,oct->moc", rows["2"].inputs, model[2].weight.detach().flatten(2)).double()

    def cost(removed):
        return (parts[:, :, list(removed)].sum(2) ** 2).sum().item()

    greedy = removal_order(model, group, rows).argsort().tolist()
    removed = []
    for chosen in greedy:
        best = min((c for c in range(4) if c not in removed), key=lambda c: cost([*removed, c]))
        assert chosen == best
        removed.append(chosen)
    assert cost(greedy[:1]) == min(cost(pair) for pair in combinations(range(4), 1))


def test_thinet_of_a_linear_layer_behind_a_flatten_sums_the_positions():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 5))
    group = Group("0", (), (Consumer("2", torch.arange(12).reshape(3, 4)),), 3)
    images = torch.randn(30, 1, 4, 4)
    order = removal_order(model, group, sampled_rows(model, ("2",), images, 0))
    inputs = model[:2](images).detach().reshape(30, 3, 4)
    weight = model[2].weight.detach().reshape(5, 3, 4)
    costs = (torch.einsum("ncp,ocp->noc", inputs, weight) ** 2).sum((0, 1))
    assert int(order.argmin()) == int(costs.argmin())


def test_thinet_sequential_scores_each_group_on_what_is_left(digits):
    net = build("plain", 4)
    given, _ = problem(net, digits)
    found = importlib.import_module("baselines.thinet_sequential").score(given)
    first, second = given.groups[:2]
    silence(net, first, kept_channels(found[first.name], given.keep[first.name]))
    rows = sampled_rows(net, tuple(consumer.name for consumer in second.consumers), given.images, 0)
    assert torch.equal(found[second.name], removal_order(net, second, rows))


def test_nisp_rescored_in_one_step_chooses_like_nisp(digits):
    given, _ = problem(build("plain", 6), digits)
    one = importlib.import_module("nisp.criteria.nisp").score(given)
    rescored = importlib.import_module("nisp.criteria.nisp_rescored").score(given, steps=1)
    for name in one:
        assert one[name].argsort().tolist() == rescored[name].argsort().tolist()


def test_permuted_scores_are_a_permutation_at_the_final_layer(digits):
    given, _ = problem(build("lenet", None), digits)
    options = {"joint": False}
    one = importlib.import_module("nisp.criteria.nisp").score(given, **options)
    null = importlib.import_module("nisp.criteria.nisp_permuted").score(given, **options)
    final = given.groups[-1].name
    assert torch.equal(one[final].sort().values, null[final].sort().values)
    assert not torch.equal(one[final], null[final])
