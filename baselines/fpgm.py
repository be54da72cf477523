"""FPGM: remove filters near the geometric median of their layer, which the others can replace (He et al. 2019).

Equation: score_i = Σ over layers that write the channel: Σ_j ‖filter_i − filter_j‖₂
Data: only the weights.
Cost: channels² times the length of a filter.
Deviations: the layers of a coupled group are added up; the publication ranks every layer by itself.
Pinned by: tests/baselines/test_rankings.py::test_fpgm_is_the_sum_of_distances_over_all_filters
"""

import torch
from torch import Tensor

from nisp.pruning.contract import Problem, Producer, Scores
from nisp.pruning.layer_weights import weight_of


def score(problem: Problem) -> Scores:
    """Sum of the distances to all filters of the layer, summed over all layers that write a channel."""

    def distances(producer: Producer) -> Tensor:
        weight = weight_of(problem.model, producer.name)
        filters = weight[producer.outputs.to(weight.device)].flatten(1).double()
        return torch.cdist(filters, filters).sum(1).cpu()

    return {group.name: torch.stack([distances(each) for each in group.producers]).sum(0) for group in problem.groups}
