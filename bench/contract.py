"""The pruner contract: what a criterion is given, and what it answers.

A criterion is a module with one function, ``score(problem, **options) -> Scores``. Its file name is its name
in a suite, its keyword arguments are the options a suite may set. Nothing needs to be registered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Scores = dict[str, Tensor]
"""Group name -> importance of each of its channels, shape (channels,), finite; higher means keep."""


@dataclass(frozen=True)
class Group:
    """Channels that live and die together: the outputs of one layer, or of all layers that are added up.

    ``producers`` and ``consumers`` are names of convolution or linear modules, in forward order: the
    producers write these channels (their output channel i is channel i of the group), the consumers read
    them (for a linear layer behind a flatten, each channel is a run of ``in_features / channels`` inputs).
    """

    name: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    channels: int


@dataclass(frozen=True)
class Problem:
    """A trained network to be pruned, and all a criterion may look at.

    model       in eval mode; a criterion leaves it as it found it
    groups      the prunable groups in forward order; the classifier's outputs are never among them
    keep        group name -> number of channels that will be kept
    images      calibration images from the training split, shape (n, c, h, w)
    labels      their classes, shape (n,)
    classifier  name of the last linear layer; its input is the final response layer (FRL)
    seed        for whatever the criterion draws at random
    """

    model: nn.Module
    groups: tuple[Group, ...]
    keep: Mapping[str, int]
    images: Tensor
    labels: Tensor
    classifier: str
    seed: int

    def generator(self) -> torch.Generator:
        """A fresh CPU random generator seeded with ``seed``."""
        return torch.Generator().manual_seed(self.seed)


class Criterion(Protocol):
    """The signature of a criterion's ``score``."""

    def __call__(self, problem: Problem, **options: object) -> Scores: ...


def kept_channels(scores: Tensor, keep: int) -> Tensor:
    """Indices, ascending, of the ``keep`` highest scores of shape (channels,); ties keep the lower index."""
    order = torch.argsort(scores, descending=True, stable=True)
    return torch.sort(order[:keep]).values
