"""Which channels stay: what is accepted, and one sentence for everything else."""

import numpy as np
import pytest
import torch
from torch import nn

from nisp.errors import UserError
from nisp.pruning.contract import silence
from nisp.pruning.kept import checked_kept
from nisp.pruning.reconstruction import least_squares
from nisp.pruning.surgery import anatomy, removal_error, remove_channels

IMAGE = torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8)


@pytest.fixture
def net():
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(6, 2)).eval()


@pytest.fixture
def parts(net):
    return anatomy(net, IMAGE)


@pytest.mark.parametrize(
    "indices",
    [[4, 0, 2], (0, 2, 4), torch.tensor([2, 4, 0]), np.array([0, 4, 2]), range(0, 6, 2), torch.tensor([0, 2, 4]).int()],
)
def test_indices_of_any_kind_and_order_mean_the_same(net, parts, indices):
    assert {name: kept.tolist() for name, kept in checked_kept(parts.groups, {"0": indices}).items()} == {
        "0": [0, 2, 4], "2": list(range(6)),
    }  # fmt: skip
    pruned = remove_channels(net, parts, {"0": indices})
    assert torch.equal(pruned[0].weight, net[0].weight[[0, 2, 4]])


def test_a_group_that_is_not_mentioned_stays_whole_everywhere(net, parts):
    pruned = remove_channels(net, parts, {"2": [1]})
    assert (pruned[0].out_channels, pruned[2].out_channels) == (8, 1)
    assert removal_error(net, pruned, parts, {"2": [1]}, IMAGE) < 1e-12
    assert removal_error(net, pruned, parts, {"2": [2]}, IMAGE) > 1e-3
    assert removal_error(net, remove_channels(net, parts, {}), parts, {}, IMAGE) == 0
    refits = least_squares(net, net, parts.groups, {"2": [1]}, IMAGE.expand(4, -1, -1, -1), IMAGE, 0)
    assert [refit.layer for refit in refits] == ["2", "6"]


MISTAKES = {
    "out of range": ({"0": [0, 8]}, r"'0' has no channel 8: its channels are 0 to 7"),
    "negative": ({"0": [-1]}, r"'0' has no channel -1: its channels are 0 to 7"),
    "twice": ({"2": [1, 3, 1]}, "channel 1 of '2' is given twice among those that are kept"),
    "empty": ({"0": torch.tensor([])}, "no channel of '0' is kept: at least one must stay"),
    "an empty list": ({"2": []}, "no channel of '2' is kept"),
    "a mask": (
        {"0": torch.ones(8, dtype=torch.bool)},
        r"the kept channels of '0' are bool of shape \(8,\): give their",
    ),
    "fractions": ({"0": [0.0, 1.0]}, "the kept channels of '0' are float32"),
    "two dimensions": ({"0": [[0, 1]]}, r"are int64 of shape \(1, 2\): give their indices, integers in one dimension"),
    "a number": ({"0": 3}, "the kept channels of '0' are no indices: 3"),
    "nothing": ({"0": None}, "the kept channels of '0' are no indices: None"),
    "words": ({"0": ["a"]}, "the kept channels of '0' are no indices"),
    "another group": ({"conv1": torch.arange(2)}, "channels are kept of 'conv1', which is not a group: there are 0, 2"),
    "not by name": ([0, 1], "kept is of class list: give a dictionary"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_wherever_channels_are_given(net, parts, name):
    kept, told = MISTAKES[name]
    images = IMAGE.expand(4, -1, -1, -1)
    for call in (
        lambda: remove_channels(net, parts, kept),
        lambda: removal_error(net, net, parts, kept, IMAGE),
        lambda: least_squares(net, net, parts.groups, kept, images, images, 0),
    ):
        with pytest.raises(UserError, match=told) as error:
            call()
        assert "\n" not in str(error.value)


def test_silencing_takes_lists_and_refuses_what_is_no_index(net, parts):
    silence(net, parts.groups[0], [0, 3])
    assert net[2].weight.abs().sum((0, 2, 3)).nonzero().flatten().tolist() == [0, 3]
    for kept, told in (([9], "'0' has no channel 9"), (torch.tensor([]), "no channel of '0' is kept")):
        with pytest.raises(UserError, match=told):
            silence(net, parts.groups[0], kept)
