"""Network Slimming's criterion: the scale of a channel's batch norm (Liu et al. 2017).

Equation: score = Σ over batch norms behind the layers that write the channel: |γ|
Data: only the weights.
Cost: a forward pass of one image, which finds the batch norms.
Deviations: the base network is trained as for all methods, without the publication's L1 penalty on γ. A group without
    a batch norm is refused. Channels are ranked within their group, not over all layers.
Pinned by: tests/baselines/test_rankings.py::test_bn_scale_is_torch_prunings
"""

import torch

from baselines._responses import scales, sites
from nisp.errors import UserError
from nisp.pruning.contract import Problem, Scores


def score(problem: Problem) -> Scores:
    """Sum of |scales| over the batch norms behind the layers that write a channel.

    A group that does not run in eval mode scores 0. UserError for a group without a batch norm: its channels could only
    be ranked at random.
    """
    gammas, places = scales(problem), sites(problem)
    scores: Scores = {}
    for group in problem.groups:
        found = [each.per_channel(gammas[each.name].abs()).cpu() for each in group.producers if each.name in gammas]
        if not found and any(each.name in places for each in group.producers):
            raise UserError(f"bn_scale cannot rank the channels of {group.name}: there is no batch norm behind it")
        scores[group.name] = sum(found, torch.zeros(group.channels))
    return scores
