"""Neuron importance score propagation to groups of channels; in its joint form, pruned channels stop propagating."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from nisp.backward import BackwardPass, checked, per_output
from nisp.pruning.contract import Group, Producer, Scores, channel_axis
from nisp.pruning.inputs import Inputs, checked_inputs, part
from nisp.pruning.selection import kept_channels


def propagate(
    model: nn.Module,
    example: Inputs,
    classifier: str | Sequence[str],
    frl_scores: Tensor,
    groups: Sequence[Group],
    keep: Mapping[str, int] | None = None,
) -> Scores:
    """Scores of every group's channels from the scores of the final responses.

    example     inputs of shape (n, ...), of which the first is used: for its shape, and for the responses to it where
                the bound of an operation depends on them
    frl_scores  importance of each input of the layer ``classifier``, shape (features,)
    keep        group name -> number of channels to keep; the other channels propagate nothing further (the paper's
                joint pruning). None propagates the scores of all channels

    A channel's score is the sum over the positions of its map, taken behind the batch norm that directly follows its
    layer, if any. A coupled group's score is the sum over the tensors that its layers write; layers whose outputs are
    added up in one addition write one tensor, which counts once. With ``keep``, the kept channels of a coupled group
    are known only when the backward pass reaches the group's first layer, so propagation stops there; the later layers
    have already passed on the scores of all their channels. A group that the final responses do not depend on scores 0.

    Scores are float64, because they grow by many orders of magnitude with depth; products with the weights run in the
    network's precision. ``model`` is not changed.

    UserError if an operation has no rule, or if the scores are not one per final response.
    """
    backward = BackwardPass.of(model, part(checked_inputs(example), 0, 1), classifier)
    scores: Scores = {}
    for group in groups:
        _listen(group, backward, scores, keep[group.name] if keep is not None else None)
    backward.run(frl_scores)
    return checked({g.name: scores.get(g.name, torch.zeros(g.channels, dtype=torch.float64)) for g in groups})


def _listen(group: Group, backward: BackwardPass, scores: Scores, keep: int | None) -> None:
    """Collect the scores of a group's responses as they arrive; at the last, zero those of the pruned channels."""
    runs = backward.trace.runs
    calls = [(producer, run.wrote) for producer in group.producers for run in runs.get(producer.name, ())]
    axes = {producer.name: channel_axis(backward.model.get_submodule(producer.name)) for producer in group.producers}
    waiting = len(calls)
    seen: list[Tensor] = []
    total = torch.zeros(group.channels, dtype=torch.float64)

    def hears(place: int, factor: float, score: Tensor) -> Tensor | None:
        nonlocal waiting, total
        producer: Producer = calls[place][0]
        axis = axes[producer.name]
        if not any(_same(score, other) for other in seen):
            total = total + factor * producer.per_channel(per_output(score, axis)).cpu()
            scores[group.name] = total
        waiting -= 1
        if waiting:
            seen.append(score)
            return None
        seen.clear()
        if keep is None:
            return None
        pruned = torch.ones(group.channels, dtype=torch.bool)
        pruned[kept_channels(total, keep)] = False
        return score.index_fill(axis, producer.outputs[pruned].flatten().to(score.device), 0)

    backward.listen([signal for _, signal in calls], hears)


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)
