import torch

from nisp.pruning.selection import select


def test_selection_keeps_the_highest_of_each_group_in_their_order():
    scores = {"a": torch.tensor([0.1, 0.9, 0.5, 0.7]), "b": torch.tensor([3.0, 3.0, 1.0])}
    chosen = select(scores, {"a": 2, "b": 1})
    assert {name: indices.tolist() for name, indices in chosen.items()} == {"a": [1, 3], "b": [0]}
