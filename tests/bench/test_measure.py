import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench import measure
from bench.data import Split
from bench.models import classifier_name
from tests.conftest import EMBEDDED, build


@pytest.mark.parametrize("model", EMBEDDED)
def test_macs_agree_with_torchs_own_counter(model, digits):
    """Torch counts multiplications and additions of convolutions and linear layers only; ptflops the small rest too."""
    net = build(*model)
    counter = FlopCounterMode(display=False)
    with counter:
        net(digits.example)
    cost = measure.cost(net, digits.example)
    assert cost.macs == pytest.approx(counter.get_total_flops() / 2, rel=0.08)
    assert cost.params == sum(p.numel() for p in net.parameters())


def test_macs_by_hand():
    """A 3x3 convolution from 2 to 4 channels on 6x6 outputs, with bias, then 144 to 3 linear."""
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    cost = measure.cost(net, torch.zeros(1, 2, 8, 8))
    assert cost == measure.Cost(macs=36 * 4 * (2 * 9 + 1) + 144 * 3 + 3, params=4 * 18 + 4 + 144 * 3 + 3)


def test_ware_by_hand():
    original = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    pruned = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
    assert measure.ware(original, pruned, torch.tensor([2.0, 1.0])) == pytest.approx((2 * 2 + 1) / (2 * 4 + 2))
    assert measure.ware(original, original, torch.ones(2)) == 0
    assert measure.ware(original, torch.zeros(2, 2), torch.tensor([0.3, 0.7])) == pytest.approx(1)


def test_accuracy_is_per_cent_of_the_largest_output():
    outputs = torch.tensor([[1.0, 2.0], [5.0, 1.0], [0.0, 1.0], [2.0, 3.0]])
    assert measure.accuracy(outputs, torch.tensor([1, 0, 0, 1])) == 75


def test_measuring_leaves_the_mode_of_the_model(digits):
    for mode in (True, False):
        net = build("plain", 4).train(mode)
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        measure.logits(net, digits.test.images)
        measure.cost(net, digits.example)
        assert net.training is mode
        assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_final_responses_are_the_classifiers_inputs(digits):
    net = build("lenet", None)
    responses = measure.final_responses(net, digits.test.images[:30], classifier_name(net))
    torch.testing.assert_close(net.get_submodule(classifier_name(net))(responses), net(digits.test.images[:30]))


def test_top5_is_among_the_five_largest_and_undefined_for_five_classes():
    outputs = torch.tensor([[9.0, 8, 7, 6, 5, 4]] * 6)
    assert measure.top5(outputs, torch.arange(6)) == pytest.approx(100 * 5 / 6)
    assert math.isnan(measure.top5(outputs[:, :5], torch.arange(5)))
    fifth = torch.tensor([[0.0, 1, 2, 3, 4, 5, 6]])
    assert [measure.top5(fifth, torch.tensor([label])) for label in range(7)] == [0, 0, 100, 100, 100, 100, 100]


def test_ware_weighs_by_importance_of_any_kind_of_number_and_is_finite_where_nothing_responds():
    original, pruned = torch.tensor([[2.0, -4.0]]), torch.tensor([[1.0, -4.0]])
    ranks = torch.tensor([3.0, 1.0], dtype=torch.float64)
    assert measure.ware(original, pruned, ranks) == pytest.approx(3 / (3 * 2 + 4))
    assert measure.ware(original, pruned, torch.tensor([0, 1])) == 0
    assert measure.ware(torch.zeros(1, 2), torch.zeros(1, 2), ranks) == 0
    assert math.isfinite(measure.ware(torch.zeros(1, 2), torch.full((1, 2), 1e-3), ranks))


class Counting(nn.Module):
    """Answers with the first pixel of each image; notes how many images come at a time, and in which mode."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.classifier = nn.Identity()

    def forward(self, images):
        self.seen.append((len(images), self.training, torch.is_grad_enabled()))
        return self.classifier(images[:, :, 0, 0])


@pytest.mark.parametrize(("count", "side", "sizes"), [(1100, 8, [512, 512, 76]), (90, 224, [83, 7]), (2, 2050, [1, 1])])
def test_outputs_come_in_order_from_batches_of_limited_pixels(count, side, sizes):
    images = torch.arange(float(count))[:, None, None, None].expand(count, 1, side, side)
    net = Counting()
    assert torch.equal(measure.logits(net, images).flatten(), torch.arange(float(count)))
    assert net.seen == [(size, False, False) for size in sizes] and net.training
    assert torch.equal(measure.final_responses(net, images, "classifier").flatten(), torch.arange(float(count)))
    assert not net.classifier._forward_pre_hooks, "nothing is listened to any longer"


def test_accuracy_of_a_split_is_its_share_of_right_answers_in_eval_mode():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.9)).train()
    images = torch.eye(4).reshape(4, 4, 1, 1)
    assert measure.top1(net, Split(images, torch.tensor([0, 1, 2, 0]))) == 75


class Slow(nn.Module):
    """Takes as long as it is told, by a clock of its own."""

    def __init__(self, name, clock, milliseconds):
        super().__init__()
        self.name, self.clock, self.milliseconds = name, clock, iter(milliseconds)

    def forward(self, images):
        assert not self.training and not torch.is_grad_enabled() and images.is_contiguous()
        self.clock.calls.append((self.name, tuple(images.shape)))
        self.clock.now += next(self.milliseconds) / 1000
        return images


@pytest.mark.parametrize(("repeats", "expected"), [({}, [3, 70]), ({"repeats": 5}, [2, 30])])
def test_latency_is_the_median_of_turns_after_two_to_warm_up(monkeypatch, repeats, expected):
    clock = SimpleNamespace(now=5.0, calls=[])
    monkeypatch.setattr(measure, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    a = Slow("a", clock, [1000, 1000, 2, 9, 1, 2, 9, 3, 3, 4, 9])
    b = Slow("b", clock, [0, 0, 20, 30, 10, 90, 80, 70, 75, 77, 40])
    example = torch.zeros(1, 3, 6, 5)
    assert measure.latencies_ms([a, b], example, 4, **repeats) == pytest.approx(expected)
    assert clock.calls == [("a", (4, 3, 6, 5)), ("b", (4, 3, 6, 5))] * (repeats.get("repeats", 9) + 2)


def test_cost_leaves_the_network_as_it_was(digits):
    net = build("plain", 4).train()
    before = set(vars(net)), [set(vars(module)) for module in net.modules()]
    cost = measure.cost(net, digits.example)
    assert (set(vars(net)), [set(vars(module)) for module in net.modules()]) == before and net.training
    assert cost == measure.cost(net, digits.example.expand(7, -1, -1, -1)), "of one image, however many are shown"
    assert type(cost.macs) is int and type(cost.params) is int
