"""Mean and variance of what a network's layers read, over calibration images and positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from torch import Tensor, nn

from nisp.pruning.contract import Group
from nisp.pruning.inputs import Inputs
from nisp.pruning.layer_inputs import BATCH, layer_inputs


@dataclass(frozen=True)
class Moments:
    """Of each input of a layer, over ``count`` values: all images and positions.

    mean       shape (inputs of the layer,), float64
    deviation  sum of squared deviations from the mean, same shape
    """

    count: int
    mean: Tensor
    deviation: Tensor

    @property
    def variance(self) -> Tensor:
        """The sample variance; 0 of a single value."""
        return self.deviation / max(1, self.count - 1)

    def joined(self, other: "Moments") -> "Moments":
        """The moments of both sets of values (Chan, Golub and LeVeque 1983)."""
        count, step = self.count + other.count, other.mean - self.mean
        between = step.square() * (self.count * other.count / count)
        return Moments(count, self.mean + step * (other.count / count), self.deviation + other.deviation + between)


def input_moments(model: nn.Module, groups: Sequence[Group], images: Inputs, batch: int = BATCH) -> dict[str, Moments]:
    """Consumer of any of ``groups`` -> moments of its inputs in eval mode; layers that do not run are absent.

    A position of a convolution's input counts once, whatever the kernel and the padding. A layer that runs several
    times has the moments of all its runs. A feature of a linear layer behind a flatten is an input of its own.
    """
    found = layer_inputs(model, groups, images, _moments, batch)
    return {name: reduce(Moments.joined, parts) for name, parts in found.items() if parts}


def _moments(values: Tensor) -> Moments:
    """Of ``values``, shape (..., inputs)."""
    rows = values.flatten(0, -2).double()
    mean = rows.mean(0)
    return Moments(len(rows), mean, (rows - mean).square().sum(0))
