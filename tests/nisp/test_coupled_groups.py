"""Joint pruning where a group has several layers, and layers that run several times."""

import torch
from torch import nn

from bench.contract import Group, Producer, kept_channels
from bench.surgery import anatomy
from nisp import propagate
from tests.conftest import Grouped
from tests.nisp.test_own_criteria import absolute
from tests.nisp.test_propagation import group


class Skip(nn.Module):
    """A layer below a residual block: its group is known only when the block's first summand is reached."""

    def __init__(self):
        super().__init__()
        self.below, self.stem, self.inner = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(3, 3)
        self.classifier, self.aside = nn.Linear(3, 2), nn.Linear(5, 2)

    def forward(self, x):
        x = torch.relu(self.below(x))
        self.aside(x)
        x = torch.relu(self.stem(x))
        return self.classifier(x + torch.relu(self.inner(x)))


def weight(layer):
    return layer.weight.detach().double().abs()


def mask(scores, keep):
    return torch.zeros_like(scores).index_fill(0, kept_channels(scores, keep), 1)


def test_pruned_channels_of_a_coupled_group_stop_at_its_first_member():
    model, frl = Skip().double(), torch.tensor([0.2, 1.0, 0.5]).double()
    groups = (group(5, "below"), group(3, "stem", "inner"), group(2, "aside"))
    found = propagate(model, torch.zeros(1, 4), "classifier", frl, groups, {"below": 5, "stem": 1, "aside": 1})
    at_stem = frl + weight(model.inner).T @ frl  # the later member passes on all it has
    torch.testing.assert_close(found["stem"], frl + at_stem)
    torch.testing.assert_close(found["below"], weight(model.stem).T @ (at_stem * mask(frl + at_stem, 1)))
    assert found["aside"].tolist() == [0, 0] and found["aside"].dtype == torch.float64


def test_pruned_channels_of_a_grouped_convolution_stop_in_all_of_its_parts():
    model, image, frl = Grouped().eval(), torch.randn(2, 1, 8, 8), torch.rand(4).double()
    groups = {group.name: group for group in anatomy(model, image[:1]).groups}
    keep = {"first": 2, "parts": 1, "last": 3}
    found = propagate(model, image, "classifier", frl, tuple(groups.values()), keep)
    bounds = absolute(model)
    below = torch.ones(1, 8, 6, 6).double().requires_grad_()
    parts = bounds.parts(below)
    behind = bounds.norm(bounds.depthwise(parts))
    torch.testing.assert_close(found["last"], frl)
    loss = bounds.last(behind).mean((0, 2, 3)) @ (frl * mask(frl, 3))
    arrived = torch.autograd.grad(loss, [parts, behind], retain_graph=True)
    places = groups["parts"].producers[0].outputs
    assert places.shape == (3, 2)
    total = sum(score.sum((0, 2, 3))[places].sum(1) for score in arrived)
    torch.testing.assert_close(found["parts"], total, rtol=1e-5, atol=0)
    alive = torch.zeros(6).double().index_fill(0, places[kept_channels(total, 1)].flatten(), 1)
    [at_first] = torch.autograd.grad(parts, below, arrived[0] * alive[:, None, None])
    expected = at_first.sum((0, 2, 3))[groups["first"].producers[0].outputs].sum(1)
    torch.testing.assert_close(found["first"], expected, rtol=1e-5, atol=0)


def test_a_layer_that_runs_twice_stops_its_pruned_channels_where_it_ran_first():
    below, shared, last = (nn.Linear(3, 3).double() for _ in range(3))
    model = nn.Sequential(below, shared, nn.ReLU(), shared, last)
    frl = torch.tensor([0.2, 1.0, 0.5]).double()
    both = Group("1", (Producer("1", torch.arange(3)[:, None]),), (), 3)
    found = propagate(model, torch.zeros(1, 3), "4", frl, (group(3, "0"), both), {"0": 3, "1": 2})
    earlier = weight(shared).T @ frl
    torch.testing.assert_close(found["1"], frl + earlier)
    torch.testing.assert_close(found["0"], weight(shared).T @ (earlier * mask(frl + earlier, 2)))


def test_the_first_example_is_the_one_that_counts():
    model, examples = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), torch.randn(3, 3)
    found = [propagate(model, some, "2", torch.ones(4), (group(4, "0"),))["0"] for some in (examples, examples[:1])]
    assert torch.equal(*found)
