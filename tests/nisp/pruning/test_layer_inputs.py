"""What layers read, over many images, and the network's final responses."""

import pytest
import torch
from torch import nn

from nisp import final_responses
from nisp.pruning.contract import Consumer, Group
from nisp.pruning.layer_inputs import layer_inputs


class Mixed(nn.Module):
    """A convolution, two linear heads that overwrite what they read, and a layer that runs twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.twice = nn.Conv2d(2, 3, 1), nn.Linear(3, 3)
        self.first, self.second = nn.Linear(3, 2), nn.Linear(6, 2)

    def features(self, x):
        x = torch.relu(self.conv(x)).mean((2, 3))
        once = torch.relu(self.twice(x))
        return x, once, torch.relu(self.twice(once))

    def forward(self, x):
        _, once, again = self.features(x)
        both = torch.cat([once, again], 1)
        answer = self.first(again) + self.second(both)
        again.zero_()
        both.zero_()
        return answer


def reader(name, inputs):
    return Group(name, (), (Consumer(name, torch.arange(inputs)[:, None]),), inputs)


@pytest.mark.parametrize("batch", [4, 7, 50])
def test_final_responses_are_what_the_heads_read_one_after_the_other(batch):
    model, images = Mixed(), torch.randn(11, 2, 3, 3)
    with torch.no_grad():
        _, once, again = model.features(images)
    found = final_responses(model, images, ("second", "first"), batch)
    torch.testing.assert_close(found, torch.cat([once, again, again], 1))
    torch.testing.assert_close(final_responses(model, images, "first", batch), again)
    assert not found.requires_grad and not model.first._forward_pre_hooks


def test_final_responses_of_a_convolution_are_means_over_positions():
    model, images = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Conv2d(3, 2, 1)), torch.randn(9, 2, 4, 5)
    torch.testing.assert_close(final_responses(model, images, "1"), model[0](images).detach().sum((2, 3)) / 12)


def test_final_responses_are_those_of_the_models_mode():
    model, images = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2)).train(), torch.ones(9, 4)
    assert set(final_responses(model, images, "1").unique().tolist()) == {0, 2}
    assert final_responses(model.eval(), images, "1").eq(1).all()


@pytest.mark.parametrize("batch", [4, 50])
def test_layer_inputs_come_by_batch_and_by_run_with_channels_last(batch):
    model, images = Mixed().train(), torch.randn(6, 2, 3, 4)
    with torch.no_grad():
        x, once, _ = model.features(images)
    groups = (reader("conv", 2), reader("twice", 3), reader("conv", 2))
    found = layer_inputs(model, groups, images, torch.clone, batch)
    parts = [slice(0, 4), slice(4, 6)] if batch == 4 else [slice(0, 6)]
    assert list(found) == ["conv", "twice"]
    expected = {
        "conv": [images[part].movedim(1, -1) for part in parts],
        "twice": [tensor[part] for part in parts for tensor in (x, once)],
    }
    for name, tensors in expected.items():
        for tensor, other in zip(found[name], tensors, strict=True):
            torch.testing.assert_close(tensor, other)
    assert model.training and not any(m._forward_pre_hooks for m in model.modules())


def test_layer_inputs_are_those_of_the_network_in_eval_mode():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2)).train()
    [found] = layer_inputs(model, (reader("1", 4),), torch.ones(9, 4), torch.clone)["1"]
    assert found.eq(1).all() and model.training
