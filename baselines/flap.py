"""FLAP: how much a channel's input fluctuates, times the size of the weights that read it (An et al. 2024).

Equation: score = Σ over inputs i that are the channel, of the layers that read it: Var(x_i) · ‖W_i‖²
    Var is the sample variance over calibration images and positions; W_i are the weights that read input i
Data: calibration images, without labels.
Cost: one forward pass of the calibration images.
Deviations: the publication scores the heads and neurons of language models; here an input of a convolution is one map,
    with a mean and variance over all of its positions, and one of a linear layer behind a flatten is one position of a
    map. The layers that read a coupled group are added up. Scores are not standardised across layers: the plan decides
    how many channels of each layer stay, so only the order within a group counts. The publication's bias compensation
    is the reconstruction mean, not part of the score.
Pinned by: tests/baselines/test_flap.py::test_scores_by_hand,
    tests/baselines/test_flap.py::test_every_layer_that_reads_a_group_is_added_up
"""

import torch
from torch import Tensor, nn

from nisp.pruning.contract import Problem, Scores
from nisp.pruning.input_moments import input_moments
from nisp.pruning.layer_weights import weight_of


def score(problem: Problem) -> Scores:
    """Variance of a channel times the squared norm of the weights that read it, summed over the layers that do."""
    moments = input_moments(problem.model, problem.groups, problem.images)
    scores: Scores = {}
    for group in problem.groups:
        scores[group.name] = torch.zeros(group.channels, dtype=torch.float64)
        for consumer in group.consumers:
            if consumer.name in moments:  # auxiliary heads do not run
                variance = moments[consumer.name].variance
                fluctuation = variance * _squared_norms(problem.model, consumer.name, len(variance))
                columns = weight_of(problem.model, consumer.name).shape[1]
                scores[group.name] += consumer.per_channel(fluctuation, columns).sum(-1).cpu()
    return scores


def _squared_norms(model: nn.Module, layer: str, inputs: int) -> Tensor:
    """Squared norm of the weights that read each of the layer's ``inputs``, over outputs and taps."""
    weight = weight_of(model, layer).double()
    parts = weight.unflatten(0, (inputs // weight.shape[1], -1))  # of a grouped convolution: inputs of their own
    return parts.square().transpose(1, 2).flatten(2).sum(2).flatten()
