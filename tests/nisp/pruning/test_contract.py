"""What criteria, surgery and reconstruction share: ties, axes, modes, and which columns are whose."""

import pytest
import torch
from torch import nn

from nisp.pruning.contract import Consumer, Group, Producer, channel_axis, evaluating, silence
from nisp.pruning.selection import kept_channels


@pytest.mark.parametrize(
    ("scores", "keep", "kept"),
    [
        ([3.0, 9.0, 1.0, 7.0], 2, [1, 3]),
        ([3.0, 9.0, 1.0, 7.0], 3, [0, 1, 3]),
        ([5.0, 2.0, 2.0, 2.0], 2, [0, 1]),  # ties keep the lower index
        ([1.0] * 40, 3, [0, 1, 2]),
        ([-1.0, -9.0, -2.0], 1, [0]),
        ([1.0, 2.0], 2, [0, 1]),
    ],
)
def test_the_highest_scores_are_kept_in_ascending_order_and_ties_keep_the_lower_index(scores, keep, kept):
    assert kept_channels(torch.tensor(scores), keep).tolist() == kept


def test_the_channels_of_a_linear_layer_are_last_and_those_of_a_convolution_second():
    assert channel_axis(nn.Linear(2, 2)) == -1 and channel_axis(nn.Conv2d(2, 2, 1)) == 1


def test_each_modules_own_mode_is_put_back_even_after_an_error():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()), nn.Dropout()).train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    assert set(modes) == {True, False}
    with pytest.raises(RuntimeError), evaluating(model):
        assert not any(module.training for module in model.modules())
        raise RuntimeError
    assert [module.training for module in model.modules()] == modes


def test_silencing_sets_just_the_columns_of_the_other_channels_to_zero_in_every_reader():
    model = nn.Sequential(nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(8, 5))
    before = [model[0].weight.detach().clone(), model[2].weight.detach().clone()]
    flattened = Consumer("2", torch.arange(6).reshape(3, 2) + 2)  # of the linear layer's columns, 0 and 1 are others'
    group = Group("g", (), (Consumer("0", torch.tensor([[2], [0], [1]])), flattened), 3)
    silence(model, group, torch.tensor([1]))
    assert not model[0].weight[:, [1, 2]].any() and torch.equal(model[0].weight[:, 0], before[0][:, 0])
    assert not model[2].weight[:, [2, 3, 6, 7]].any()
    assert torch.equal(model[2].weight[:, [0, 1, 4, 5]], before[1][:, [0, 1, 4, 5]])
    assert model[0].weight.requires_grad and model[0].bias.any()


def test_values_of_outputs_add_up_over_a_channels_run():
    producer = Producer("p", torch.tensor([[0, 3], [1, 4], [2, 5]]))
    assert producer.per_channel(torch.tensor([1.0, 2, 3, 10, 20, 30])).tolist() == [11, 22, 33]


def test_values_of_inputs_are_gathered_by_channel_from_every_part():
    consumer = Consumer("c", torch.tensor([[0, 1], [2, 3]]))
    values = torch.arange(12.0)
    assert consumer.per_channel(values[:4], 4).tolist() == [[0, 1], [2, 3]]
    found = consumer.per_channel(torch.stack([values, values + 100])[:, None], 4)  # three groups of four columns each
    assert found.shape == (2, 1, 2, 6)
    whole = torch.tensor([[0.0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]])
    assert torch.equal(found.sort().values, torch.stack([whole, whole + 100])[:, None])


def test_a_reader_is_found_by_its_name():
    group = Group("g", (), (Consumer("a", torch.zeros(1, 1)), Consumer("b", torch.ones(1, 1))), 1)
    assert group.read_by("b") is group.consumers[1] and group.read_by("g") is None
