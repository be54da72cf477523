"""The weights of layers with outputs first, however a layer stores them.

Linear and convolution layers store (outputs, inputs of one group, ...). Transposed convolutions store (inputs, outputs
of one group, ...); with several groups, rows of each part belong to one group. Code that reads weights channel by
channel asks here, so that both kinds look alike.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LAYERS = (nn.Linear, nn.modules.conv._ConvNd)
"""Layers whose channels can be removed: linear ones, convolutions and transposed convolutions."""

TRANSPOSED = nn.modules.conv._ConvTransposeNd


def by_output(layer: nn.Module, values: Tensor) -> Tensor:
    """``values`` in the shape of the layer's weight -> shape (outputs, inputs of one group, ...).

    >>> layer = nn.ConvTranspose2d(6, 4, 3, groups=2)
    >>> tuple(layer.weight.shape), tuple(by_output(layer, layer.weight).shape)
    ((6, 2, 3, 3), (4, 3, 3, 3))
    """
    if not isinstance(layer, TRANSPOSED):
        return values
    return values.unflatten(0, (layer.groups, -1)).transpose(1, 2).flatten(0, 1)


def as_stored(layer: nn.Module, values: Tensor) -> Tensor:
    """The inverse of `by_output`: ``values`` with outputs first -> in the shape of the layer's weight."""
    return by_output(layer, values)  # exchanging rows and columns of each group twice changes nothing


def weight_of(model: nn.Module, name: str) -> Tensor:
    """Weight of the layer called ``name``, detached, with outputs first: (outputs, inputs of one group, ...)."""
    layer = model.get_submodule(name)
    return by_output(layer, _weight(layer).detach())


@torch.no_grad()
def set_inputs(model: nn.Module, name: str, inputs: Tensor, values: Tensor | float) -> None:
    """Overwrite, in place, the weights with which the layer called ``name`` reads ``inputs``.

    ``inputs`` are indices of dimension 1 of `weight_of`; ``values`` has the shape of that part of it, or is a number.
    """
    layer = model.get_submodule(name)
    weight = weight_of(model, name)
    weight[:, inputs.to(weight.device)] = values.to(weight) if isinstance(values, Tensor) else values
    if isinstance(layer, TRANSPOSED):  # of several groups, ``weight`` is a copy
        _weight(layer).copy_(as_stored(layer, weight.clone()))


def count_outputs(model: nn.Module, name: str) -> int:
    """Number of outputs of the layer called ``name``."""
    return len(weight_of(model, name))


def count_inputs(model: nn.Module, name: str) -> int:
    """Number of inputs of the layer called ``name``, over all of its groups."""
    layer: Any = model.get_submodule(name)
    return weight_of(model, name).shape[1] * getattr(layer, "groups", 1)


def places_in(layer: nn.Module, dim: int, ids: np.ndarray) -> tuple[int, np.ndarray]:
    """0 for outputs or 1 for inputs of the layer, and the id of each; ``ids`` lie along ``dim`` of its stored weight.

    Inputs are those of the first group, as the others lose the same. A depthwise layer's outputs are its inputs.
    """
    if not isinstance(layer, TRANSPOSED):
        return dim, ids
    if dim == 1:
        return 0, np.tile(ids, layer.groups)
    if layer.groups > 1 and layer.groups == len(ids):
        return 0, ids.repeat(_weight(layer).size(1))
    return 1, ids[: len(ids) // layer.groups]


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight
