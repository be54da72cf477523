"""The pruner contract: what a criterion receives and returns.

A criterion is a module with one function, ``score(problem, **options) -> Scores``. Its file name is its name
in a suite, and its keyword arguments are the options that a suite may set. Nothing needs to be registered.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from nisp.pruning.kept import checked_indices
from nisp.pruning.layer_weights import set_inputs

Scores = dict[str, Tensor]
"""Group name -> importance of its channels, shape (channels,), finite; higher means keep."""


@dataclass(frozen=True)
class Producer:
    """A layer that writes a group's channels.

    ``outputs``, shape (channels, run): row i lists the layer's outputs that are channel i. run = 1, except where
    several outputs are only removed together: the same ones of every group of a grouped convolution, the r² sub-pixels
    of a pixel shuffle, both halves of a gated unit.
    """

    name: str
    outputs: Tensor

    def per_channel(self, values: Tensor) -> Tensor:
        """Sum ``values``, shape (outputs of the layer,), over the outputs of each channel: shape (channels,)."""
        return values[self.outputs.to(values.device)].sum(1)


@dataclass(frozen=True)
class Consumer:
    """A layer that reads a group's channels.

    ``inputs``, shape (channels, run): row i lists the columns (dimension 1) of the layer's weight, with outputs first
    (`nisp.pruning.layer_weights.weight_of`), that read channel i.
    run = 1 for a convolution; for a linear layer behind a flatten it is the number of positions.
    """

    name: str
    inputs: Tensor

    def per_channel(self, values: Tensor, columns: int) -> Tensor:
        """Gather ``values``, shape (..., inputs of the layer), by channel: shape (..., channels, run).

        ``columns`` is the size of dimension 1 of the same weight. A grouped convolution reads that many inputs in
        each of its groups, so its run is longer by that factor.
        """
        starts = torch.arange(0, values.shape[-1], columns)
        return values[..., (self.inputs[:, :, None] + starts).flatten(1).to(values.device)]


@dataclass(frozen=True)
class Group:
    """Channels that are ranked together: outputs of one layer, or of several layers whose outputs are added up.

    Channel i is kept or removed in all producers and consumers at once. These are linear, convolution or transposed
    convolution modules, in the order in which they run. A depthwise convolution writes the channels that it reads, and
    is a producer only.
    """

    name: str
    producers: tuple[Producer, ...]
    consumers: tuple[Consumer, ...]
    channels: int

    def read_by(self, layer: str) -> Consumer | None:
        """The consumer called ``layer``, or None."""
        return next((consumer for consumer in self.consumers if consumer.name == layer), None)


@dataclass(frozen=True)
class Problem:
    """A trained network to be pruned, and everything that a criterion may look at.

    model       in eval mode; a criterion must not change it
    groups      the prunable groups in forward order; the classifier's outputs are never among them
    keep        group name -> number of channels to keep
    images      calibration images from the training split, shape (n, c, h, w); in `nisp.prune` what it was given, which
                for a network of several inputs is a tuple or a dictionary (nisp.pruning.inputs)
    labels      their classes, shape (n,)
    classifier  name of the last linear layer; its input is the final response layer (FRL)
    seed        for random draws of the criterion
    """

    model: nn.Module
    groups: tuple[Group, ...]
    keep: Mapping[str, int]
    images: Tensor
    labels: Tensor
    classifier: str
    seed: int

    def generator(self) -> torch.Generator:
        """A new CPU random generator, seeded with ``seed``."""
        return torch.Generator().manual_seed(self.seed)


class Criterion(Protocol):
    """The signature of a criterion's ``score``."""

    def __call__(self, problem: Problem, **options: object) -> Scores:
        """Return group name -> scores."""


def channel_axis(layer: nn.Module) -> int:
    """The channel dimension of a layer's input and output."""
    return -1 if isinstance(layer, nn.Linear) else 1


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every module into eval mode; on exit, restore the mode of each."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def removed(group: Group, kept: Tensor) -> Tensor:
    """Which of the group's channels are not ``kept``, shape (channels,), bool.

    UserError for indices that are not the group's (nisp.pruning.kept).
    """
    gone = torch.ones(group.channels, dtype=torch.bool)
    gone[checked_indices(group.name, group.channels, kept)] = False
    return gone


@torch.no_grad()
def silence(model: nn.Module, group: Group, kept: Tensor) -> None:
    """Zero, in place, the weights with which the group's consumers read channels that are not ``kept``.

    The network's output is the same as if these channels were removed, but no shape changes. UserError for indices
    that are not the group's (nisp.pruning.kept).
    """
    gone = removed(group, kept)
    for consumer in group.consumers:
        set_inputs(model, consumer.name, consumer.inputs[gone].flatten(), 0.0)
