import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from nisp.errors import UserError
from nisp.pruning.contract import Group
from nisp.pruning.selection import channels_left, keep_plan, kept_channels, select


def test_selection_keeps_the_highest_of_each_group_in_their_order():
    scores = {"a": torch.tensor([0.1, 0.9, 0.5, 0.7]), "b": torch.tensor([3.0, 3.0, 1.0])}
    chosen = select(scores, {"a": 2, "b": 1})
    assert {name: indices.tolist() for name, indices in chosen.items()} == {"a": [1, 3], "b": [0]}


@pytest.mark.parametrize("ratio", [-0.3, 1.0, 1.2, math.nan, math.inf, True, "0.5", None, [0.5]])
def test_a_share_that_cannot_go_is_refused(ratio):
    with pytest.raises(UserError, match=r"the ratio is .*: it must be at least 0 and less than 1"):
        keep_plan((Group("g", (), (), 8),), ratio)


def test_shares_may_be_numbers_of_any_kind_and_zero():
    groups = (Group("g", (), (), 8),)
    assert keep_plan(groups, 0) == keep_plan(groups, np.float32(0)) == {"g": 8}
    assert keep_plan(groups, np.float32(0.5)) == keep_plan(groups, Fraction(1, 2)) == {"g": 4}
    assert channels_left(8, 1.0) == 1, "as a search for a budget asks"
    with pytest.raises(UserError, match=r"the ratio is 1\.1: it must be at least 0 and at most 1"):
        channels_left(8, 1.1)


@pytest.mark.parametrize(
    ("keep", "told"),
    [
        ({"b": 1}, "there are no scores for the group 'b': there are scores for a"),
        ({"a": 0}, "0 of 3 channels of 'a' cannot be kept: give an integer from 1 to 3"),
        ({"a": 4}, "4 of 3 channels of 'a' cannot be kept"),
        ({"a": -1}, "-1 of 3 channels"),
        ({"a": 1.0}, "1.0 of 3 channels"),
        ({"a": True}, "True of 3 channels"),
    ],
)
def test_a_selection_that_cannot_be_made_is_refused(keep, told):
    with pytest.raises(UserError, match=told):
        select({"a": torch.ones(3)}, keep)


def test_scores_that_are_not_one_per_channel_are_refused():
    with pytest.raises(UserError, match=r"the scores of the channels of 'a' are of shape \(3, 1\): give a tensor"):
        select({"a": torch.ones(3, 1)}, {"a": 1})
    with pytest.raises(UserError, match=r"the scores of the channels are of class list"):
        kept_channels([1, 2], 1)
    assert kept_channels(torch.tensor([1, 3, 3]), np.int64(1)).tolist() == [1]
