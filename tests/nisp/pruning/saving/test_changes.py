import torch
from torch import nn

from nisp.pruning.saving.changes import named_tensors


class Tied(nn.Module):
    """One parameter and one buffer, each under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.second = nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("same", self.mean)


def test_tied_tensors_are_listed_once_or_under_every_name():
    once = [name for name, _ in named_tensors(Tied())]
    everywhere = [name for name, _ in named_tensors(Tied(), every_name=True)]
    assert once == ["first.weight", "mean"]
    assert everywhere == ["first.weight", "second.weight", "mean", "same"]
