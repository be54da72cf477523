"""Scoring groups front to back, each in the network as pruned so far."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from nisp.pruning.contract import Group, Problem, Scores, silence
from nisp.pruning.copies import copied
from nisp.pruning.reconstruction import refit, surviving_inputs
from nisp.pruning.sampling import Rows, sampled_rows
from nisp.pruning.selection import kept_channels

Layers = Mapping[str, Rows]
"""Sampled inputs and outputs of the layers that run, by name."""

Scored = Callable[[nn.Module, Group, Layers, Mapping[str, Tensor]], Tensor]
"""Scores of a group, shape (channels,), given the network as pruned so far, what the group's consumers read and write
in it, and the channels kept of earlier groups."""


def original_rows(problem: Problem) -> Layers:
    """What the consumers of all groups read and write in the unpruned network, at the positions of `front_to_back`."""
    layers = tuple({consumer.name: None for group in problem.groups for consumer in group.consumers})
    return sampled_rows(problem.model, layers, problem.images, problem.seed)


def front_to_back(problem: Problem, scored: Scored, targets: Layers | None) -> Scores:
    """Score, silence and go on to the next group; the model is not changed.

    targets  if given (`original_rows`), the layers that read a group are solved again for them before the next group
    """
    model = copied(problem.model)
    scores: Scores = {}
    kept: dict[str, Tensor] = {}
    for group in problem.groups:
        layers = tuple(consumer.name for consumer in group.consumers)
        rows = sampled_rows(model, layers, problem.images, problem.seed)
        scores[group.name] = scored(model, group, rows, kept)
        kept[group.name] = kept_channels(scores[group.name], problem.keep[group.name])
        silence(model, group, kept[group.name])
        if targets is None:
            continue
        for layer in rows:
            inputs = surviving_inputs(layer, problem.groups, kept)
            refit(model, layer, inputs, targets[layer], problem.images, problem.seed)
    return scores
