"""ThiNet's greedy choice: the channels whose removal changes the outputs of the next layers least."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nisp.pruning.contract import Group
from nisp.pruning.layer_weights import weight_of
from nisp.pruning.sampling import Rows


def removal_order(model: nn.Module, group: Group, rows: Mapping[str, Rows]) -> Tensor:
    """Scores of a group's channels, shape (channels,): the step in which greedy removal takes a channel.

    Every step removes the channel that minimises the sum of (sum over removed channels of x_hat)^2 over the sampled
    outputs of all consumers (Luo et al. 2017, equation 6), where x_hat is a channel's contribution to one output. The
    whole order follows from the Gram matrix of these contributions. All output channels of a sampled position are used.
    """
    read = [consumer for consumer in group.consumers if consumer.name in rows]  # auxiliary heads do not run
    grams = [gram(model, consumer.name, consumer.inputs, rows[consumer.name]) for consumer in read]
    products = sum(grams, torch.zeros(group.channels, group.channels, dtype=torch.float64))
    order = torch.zeros(group.channels)
    cost = products.diagonal().clone()
    left = torch.ones(group.channels, dtype=torch.bool)
    for step in range(group.channels):
        chosen = int(cost.masked_fill(~left, torch.inf).argmin())
        left[chosen] = False
        order[chosen] = step
        cost += 2 * products[chosen]
    return order


def gram(model: nn.Module, layer: str, inputs: Tensor, rows: Rows) -> Tensor:
    """Gram matrix of the channels' contributions to the layer's outputs, shape (channels, channels), float64.

    Summed over rows and output channels. A contribution is a channel's taps times their weights, so the sums over rows
    and over outputs factorise, and the contributions (rows x outputs x channels) are never held in memory.
    """
    weight = weight_of(model, layer)
    channels = len(inputs)
    read = inputs.flatten()
    taps = rows.inputs[:, read].flatten(1).double()
    weights = weight.reshape(len(weight), rows.inputs.shape[1], -1)[:, read].flatten(1).double()
    products = (taps.T @ taps) * (weights.T @ weights)
    return products.reshape(channels, products.shape[0] // channels, channels, -1).sum((1, 3)).cpu()
