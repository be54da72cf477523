"""Response bound, an extension and not the paper's method: NISP's scores times the magnitude of the responses.

The paper bounds the error of the final responses by C · Σ_i r_i |x_i| (1 − s_i), and absorbs the activations |x_i|
into the constant C. Here they are kept, so the bound is tighter; the selection minimises its mean over images.

Equation: score = Σ over positions p of the channel's tensors that layers read: r_p · mean over images of |x_p|,
    with r = nisp's scores of these tensors
Data: calibration images, without labels.
Cost: two forward passes of the calibration images, Inf-FS of the FRL, and one backward pass of the absolute network.
Deviations: our extension, not NISP. A response is taken as the next layer reads it: behind batch norm, activation
    and pooling. With joint pruning, channels stop propagating where their group is read first.
Pinned by: tests/nisp/test_own_criteria.py::test_response_bound_of_a_perceptron,
    tests/nisp/test_own_criteria.py::test_response_bound_of_a_residual_net_adds_up_the_tensors_that_are_read
"""

import torch
from torch import Tensor

from nisp.backward import BackwardPass, checked
from nisp.pruning.contract import Consumer, Group, Problem, Scores, channel_axis
from nisp.pruning.inputs import count, part
from nisp.pruning.layer_inputs import layer_inputs
from nisp.pruning.layer_weights import weight_of
from nisp.pruning.selection import kept_channels
from nisp.rankings.inf_fs import inf_fs
from nisp.responses import final_responses
from nisp.signals import Signal


def score(problem: Problem, alpha: float = 0.5, variant: str = "iccv2015", joint: bool = True) -> Scores:
    """NISP's score times the mean absolute response, summed over positions and over a group's tensors that are read.

    alpha, variant  weight of spread against correlation in Inf-FS, and its formula
    joint           pruned channels stop propagating, in the same pass
    """
    model, classifier = problem.model, problem.classifier
    frl_scores = inf_fs(final_responses(model, problem.images, classifier), alpha, variant)
    sums = layer_inputs(model, problem.groups, problem.images, lambda values: values.abs().double().sum(0))
    backward = BackwardPass.of(model, part(problem.images, 0, 1), classifier)
    scores: Scores = {group.name: torch.zeros(group.channels, dtype=torch.float64) for group in problem.groups}
    for group in problem.groups:
        _listen(problem, group, backward, sums, scores, joint)
    backward.run(frl_scores)
    return checked(scores)


def _listen(
    problem: Problem, group: Group, backward: BackwardPass, sums: dict[str, list[Tensor]], scores: Scores, joint: bool
) -> None:
    """Add up a group's scores as they arrive at its consumers' inputs; at the last, zero those of pruned channels."""
    tensors: dict[Tensor, tuple[Consumer, Signal, Tensor]] = {}
    for consumer in group.consumers:
        runs = backward.trace.runs.get(consumer.name, [])
        for index, run in enumerate(runs):
            mean = torch.stack(sums[consumer.name][index :: len(runs)]).sum(0) / count(problem.images)
            tensors.setdefault(run.read.path, (consumer, run.read, mean))
    read = list(tensors.values())
    waiting = len(read)

    def hears(place: int, factor: float, score: Tensor) -> Tensor | None:
        nonlocal waiting
        consumer, _, mean = read[place]
        axis = channel_axis(problem.model.get_submodule(consumer.name))
        columns = weight_of(problem.model, consumer.name).shape[1]
        bound = (score.movedim(axis, -1)[0] * mean).reshape(-1, mean.shape[-1]).sum(0)
        scores[group.name] = scores[group.name] + factor * consumer.per_channel(bound, columns).sum(-1).cpu()
        waiting -= 1
        if waiting or not joint:
            return None
        kept = torch.zeros(group.channels, dtype=torch.bool)
        kept[kept_channels(scores[group.name], problem.keep[group.name])] = True
        places = consumer.per_channel(torch.arange(mean.shape[-1]), columns)[~kept].flatten()
        return score.index_fill(axis, places.to(score.device), 0)

    backward.listen([signal for _, signal, _ in read], hears)
