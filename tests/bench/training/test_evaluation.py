import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.runs.size import Size, size_of
from bench.runs.timing import latencies_ms
from bench.runs.ware import ware_of
from bench.training import evaluation as measure
from tests.conftest import EMBEDDED, build, classifier_name


@pytest.mark.parametrize("model", EMBEDDED)
def test_macs_agree_with_torchs_own_counter(model, digits):
    """Torch counts multiplications and additions of convolutions and linear layers only; ptflops the small rest too."""
    net = build(*model)
    counter = FlopCounterMode(display=False)
    with counter:
        net(digits.example)
    cost = size_of(net, digits.example)
    assert cost.macs == pytest.approx(counter.get_total_flops() / 2, rel=0.08)
    assert cost.params == sum(p.numel() for p in net.parameters())


def test_macs_by_hand():
    """A 3x3 convolution from 2 to 4 channels on 6x6 outputs, with bias, then 144 to 3 linear."""
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    cost = size_of(net, torch.zeros(1, 2, 8, 8))
    assert cost == Size(macs=36 * 4 * (2 * 9 + 1) + 144 * 3 + 3, params=4 * 18 + 4 + 144 * 3 + 3)


def test_ware_by_hand():
    original = torch.tensor([[1.0, 0.0], [3.0, 2.0]])
    pruned = torch.tensor([[1.0, 1.0], [1.0, 2.0]])
    assert ware_of(original, pruned, torch.tensor([2.0, 1.0])) == pytest.approx((2 * 2 + 1) / (2 * 4 + 2))
    assert ware_of(original, original, torch.ones(2)) == 0
    assert ware_of(original, torch.zeros(2, 2), torch.tensor([0.3, 0.7])) == pytest.approx(1)


def test_accuracy_is_per_cent_of_the_largest_output():
    outputs = torch.tensor([[1.0, 2.0], [5.0, 1.0], [0.0, 1.0], [2.0, 3.0]])
    assert measure.accuracy(outputs, torch.tensor([1, 0, 0, 1])) == 75


def test_measuring_leaves_the_mode_of_the_model(digits):
    for mode in (True, False):
        net = build("plain", 4).train(mode)
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        measure.logits(net, digits.test.images)
        size_of(net, digits.example)
        assert net.training is mode
        assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_final_responses_are_the_classifiers_inputs(digits):
    net = build("lenet", None)
    responses = measure.classifier_inputs(net, digits.test.images[:30], classifier_name(net))
    torch.testing.assert_close(net.get_submodule(classifier_name(net))(responses), net(digits.test.images[:30]))


def test_latency_grows_with_the_work():
    small, large = nn.Linear(64, 64), nn.Sequential(*(nn.Linear(512, 512) for _ in range(40)))
    times = latencies_ms([nn.Sequential(nn.Flatten(), small)], torch.zeros(1, 64), 8)
    times += latencies_ms([large], torch.zeros(1, 512), 64)
    assert 0 < times[0] < times[1]


def test_top5_is_among_the_five_largest_and_undefined_for_five_classes():
    outputs = torch.tensor([[9.0, 8, 7, 6, 5, 4]] * 6)
    assert measure.top5(outputs, torch.arange(6)) == pytest.approx(100 * 5 / 6)
    assert math.isnan(measure.top5(outputs[:, :5], torch.arange(5)))
