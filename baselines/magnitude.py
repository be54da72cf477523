"""Magnitude: the L1 norm of a channel's filter (Li et al. 2017).

Equation: score = Σ over layers that write the channel: ‖filter‖₁
Data: only the weights.
Cost: reading the weights.
Deviations: the layers of a coupled group are added up; the publication ranks a residual stage by the filters of its
    shortcut.
Pinned by: tests/baselines/test_criteria.py::test_magnitude_is_the_l1_norm_of_a_filter_summed_over_a_coupled_group
"""

import torch
from torch import Tensor

from nisp.pruning.contract import Problem, Producer, Scores
from nisp.pruning.layer_weights import weight_of


def score(problem: Problem) -> Scores:
    """Sum of the |weights| that write a channel, over all layers that write it."""

    def norms(producer: Producer) -> Tensor:
        weight = weight_of(problem.model, producer.name)
        return producer.per_channel(weight.abs().flatten(1).sum(1)).cpu()

    return {group.name: torch.stack([norms(each) for each in group.producers]).sum(0) for group in problem.groups}
