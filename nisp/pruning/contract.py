"""The pruner contract: what a criterion is given, and what it answers.

A criterion is a module with one function, ``score(problem, **options) -> Scores``. Its file name is its name
in a suite, its keyword arguments are the options a suite may set. Nothing needs to be registered.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

Scores = dict[str, Tensor]
"""Group name -> importance of each of its channels, shape (channels,), finite; higher means keep."""


@dataclass(frozen=True)
class Producer:
    """A layer that writes a group's channels.

    ``outputs``, shape (channels, run): which of the layer's outputs are channel i. The run is 1, but for a convolution
    in parts (``groups`` > 1), which must lose the same channels of each part: there it is the number of parts.
    """

    name: str
    outputs: Tensor

    def per_channel(self, values: Tensor) -> Tensor:
        """Sum of ``values``, shape (outputs of the layer,), over the run: shape (channels,)."""
        return values[self.outputs.to(values.device)].sum(1)


@dataclass(frozen=True)
class Consumer:
    """A layer that reads a group's channels.

    ``inputs``, shape (channels, run): which columns (dimension 1) of the layer's weight hold channel i. The run is 1
    for a convolution; for a linear layer behind a flatten it is the number of positions.
    """

    name: str
    inputs: Tensor

    def per_channel(self, values: Tensor, columns: int) -> Tensor:
        """``values``, shape (..., inputs of the layer), dealt to the channels that hold them: (..., channels, run).

        ``columns`` is dimension 1 of the layer's weight. A convolution in parts reads that many inputs for each part,
        so the run is longer by the number of parts.
        """
        starts = torch.arange(0, values.shape[-1], columns)
        return values[..., (self.inputs[:, :, None] + starts).flatten(1).to(values.device)]


@dataclass(frozen=True)
class Group:
    """Channels that are ranked together: outputs of one layer, or of all layers whose outputs are added up.

    Channel i lives and dies in all of its producers and consumers at once. These are convolution or linear modules, in
    the order in which they run. A depthwise convolution writes the channels that it reads, and is a producer only.
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

    def __call__(self, problem: Problem, **options: object) -> Scores:
        """Group name -> scores."""


def channel_axis(layer: nn.Module) -> int:
    """Dimension of a layer's input and output that its channels are in."""
    return -1 if isinstance(layer, nn.Linear) else 1


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for every module; each one's own mode is put back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.no_grad()
def silence(model: nn.Module, group: Group, kept: Tensor) -> None:
    """Let the group's consumers read nothing but the ``kept`` channels, in place.

    For the network's output this is the same as removing the others, but no shape changes.
    """
    removed = torch.ones(group.channels, dtype=torch.bool)
    removed[kept] = False
    for consumer in group.consumers:
        model.get_parameter(f"{consumer.name}.weight")[:, consumer.inputs[removed].flatten()] = 0
