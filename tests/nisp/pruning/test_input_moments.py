"""Mean and variance of what layers read: by hand, and numpy's over all values at once."""

import numpy as np
import pytest
import torch
from torch import nn

from nisp.pruning.contract import Consumer, Group
from nisp.pruning.input_moments import Moments, input_moments


def reader(name, inputs):
    return Group(name, (), (Consumer(name, torch.arange(inputs)[:, None]),), inputs)


def test_moments_by_hand():
    """1, 2, 6 have the mean 3 and squared deviations 4, 1, 9; a constant has none."""
    model, images = nn.Sequential(nn.Linear(2, 1)), torch.tensor([[1.0, 7], [2, 7], [6, 7]])
    found = input_moments(model, (reader("0", 2),), images)["0"]
    assert found.count == 3 and found.mean.tolist() == [3, 7]
    assert found.deviation.tolist() == [14, 0] and found.variance.tolist() == [7, 0]
    assert found.mean.dtype == torch.float64
    alone = input_moments(model, (reader("0", 2),), images[:1])["0"]
    assert alone.variance.tolist() == [0, 0] and alone.mean.tolist() == [1, 7]


@pytest.mark.parametrize("batch", [3, 4, 50])
def test_moments_of_batches_are_those_of_all_images_and_positions(batch):
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(36, 2)).double()
    images = torch.randn(11, 2, 4, 5).double() * 3 + 1000
    found = input_moments(model, (reader("0", 2), reader("2", 36)), images, batch)
    positions = images.movedim(1, -1).reshape(-1, 2).numpy()
    features = model[:2](images).detach().numpy()
    for name, rows in (("0", positions), ("2", features)):
        assert found[name].count == len(rows)
        np.testing.assert_allclose(found[name].mean, rows.mean(0), rtol=1e-13)
        np.testing.assert_allclose(found[name].variance, rows.var(0, ddof=1), rtol=1e-9)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared, self.idle = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.shared(self.shared(x))


def test_all_runs_of_a_layer_count_and_one_that_does_not_run_is_absent():
    model, images = Twice().double(), torch.randn(5, 3).double()
    found = input_moments(model, (reader("shared", 3), reader("idle", 3)), images)
    rows = torch.cat([images, model.shared(images).detach()]).numpy()
    assert list(found) == ["shared"] and found["shared"].count == 10
    np.testing.assert_allclose(found["shared"].variance, rows.var(0, ddof=1))


def test_joined_moments_by_hand():
    """0 and 2 with 7: mean 3, squared deviations 9, 1 and 16."""
    pair = Moments(2, torch.tensor([1.0]), torch.tensor([2.0]))
    joined = pair.joined(Moments(1, torch.tensor([7.0]), torch.tensor([0.0])))
    assert (joined.count, joined.mean.item(), joined.deviation.item()) == (3, 3, 26)
