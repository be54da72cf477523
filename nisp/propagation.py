"""Neuron importance score propagation to groups of channels, and its joint form, in which pruned channels stop it."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from nisp.network import Trace, traced
from nisp.pruning.contract import Group, Producer, Scores, channel_axis, kept_channels
from nisp.scoring import checked, final_level, per_output, propagate_from
from nisp.signals import undivided


def propagate(
    model: nn.Module,
    example: Tensor,
    classifier: str,
    frl_scores: Tensor,
    groups: Sequence[Group],
    keep: Mapping[str, int] | None = None,
) -> Scores:
    """Scores of every group's channels from the scores of the final responses.

    example     inputs of shape (n, ...), of which the first is used: for its shape, and for the responses to it where
                the bound of an operation depends on them
    frl_scores  shape (features,): importance of each input of the layer ``classifier``
    keep        group name -> channels to keep; a channel that is not kept propagates nothing further
                (the paper's joint pruning). None propagates the scores of all channels.

    A channel's score is the sum over the positions of its map, taken behind the batch norm that directly follows its
    layer, if any. A coupled group's score is the sum over the tensors its members write; members that are summands
    of the same addition write one tensor, which counts once. With ``keep``, the channels of a coupled group are known
    only when the backward pass has reached its first member, so that is where propagation stops; the later members
    of the group have by then passed on the scores of all their channels. What the final responses do not depend on
    scores 0.

    Scores are float64, as they grow by many orders of magnitude with depth; products with the weights run in the
    network's precision. ``model`` is left as it was.

    UserError if an operation has no rule, or if the scores are not one per final response.
    """
    trace = traced(model, example[:1])
    level = final_level(trace, classifier)
    scores: Scores = {}
    for group in groups:
        axes = {producer.name: channel_axis(model.get_submodule(producer.name)) for producer in group.producers}
        _listen(group, trace, level, axes, scores, keep[group.name] if keep is not None else None)
    propagate_from(trace, model, classifier, frl_scores)
    return checked({g.name: scores.get(g.name, torch.zeros(g.channels, dtype=torch.float64)) for g in groups})


def _listen(group: Group, trace: Trace, level: int, axes: Mapping[str, int], scores: Scores, keep: int | None) -> None:
    """Collect the scores of a group's responses as they come, and stop those of pruned channels at the last."""
    calls = [(producer, run.wrote) for producer in group.producers for run in trace.runs.get(producer.name, ())]
    factors = undivided([signal for _, signal in calls], level)
    waiting = len(calls)
    seen: list[Tensor] = []
    total = torch.zeros(group.channels, dtype=torch.float64)

    def arrived(producer: Producer, factor: float, score: Tensor) -> Tensor | None:
        nonlocal waiting, total
        if not any(_same(score, other) for other in seen):
            total = total + factor * producer.per_channel(per_output(score, axes[producer.name])).cpu()
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
        outputs = producer.outputs[pruned].flatten().to(score.device)
        return score.index_fill(axes[producer.name], outputs, 0)

    for (producer, signal), factor in zip(calls, factors, strict=True):
        signal.path.register_hook(partial(arrived, producer, factor))


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)
