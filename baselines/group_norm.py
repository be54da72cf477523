"""Group norm: the size of all weights that are removed with a channel (DepGraph, Fang et al. 2023).

Equation: score = Σ over weights that write the channel, weights that read it, and scales of its batch norms: w²
Data: only the weights.
Cost: reading the weights, and a forward pass of one image, which finds the batch norms.
Deviations: the network is trained without the publication's sparsity term. Only batch norms that directly follow a
    layer that writes the channel count, not others, as in pre-activation networks.
Pinned by: tests/baselines/test_rankings.py::test_group_norm_is_torch_prunings
"""

import torch

from baselines._responses import scales
from nisp.pruning.contract import Problem, Scores
from nisp.pruning.layer_weights import weight_of


def score(problem: Problem) -> Scores:
    """Sum of squares of the weights that write a channel, that read it, and of its batch norms' scales."""
    gammas = scales(problem)
    scores: Scores = {}
    for group in problem.groups:
        total = torch.zeros(group.channels, dtype=torch.float64)
        for producer in group.producers:
            weight = weight_of(problem.model, producer.name)
            total += producer.per_channel(weight.double().square().flatten(1).sum(1)).cpu()
            if producer.name in gammas:
                total += producer.per_channel(gammas[producer.name].double().square()).cpu()
        for consumer in group.consumers:
            weight = weight_of(problem.model, consumer.name)
            columns = weight.double().square().transpose(0, 1).flatten(1).sum(1)
            total += columns[consumer.inputs.to(columns.device)].sum(1).cpu()
        scores[group.name] = total
    return scores
