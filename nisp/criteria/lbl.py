"""Layer by layer: Inf-FS on each layer's own responses, the paper's baseline without propagation.

Equation: score = Σ over the tensors of the group that layers read: Inf-FS(mean over positions of the tensor)
Data: calibration images, without labels.
Cost: one forward pass of the calibration images, and Inf-FS of every layer (channels² times images).
Deviations: as we read the paper. A response is taken as the next layer reads it: behind batch norm, activation and
    pooling, so that at the FRL the ranking equals nisp's. A channel is one feature, its mean over positions, also where
    a map is flattened (Inf-FS of all positions would not fit in memory). A coupled group's score is the sum over its
    tensors that layers read; a tensor that several layers read counts once. Nothing is reconstructed.
Pinned by: tests/nisp/test_own_criteria.py::test_lbl_is_nisps_own_ranking_at_the_final_layer,
    tests/nisp/test_own_criteria.py::test_lbl_of_a_residual_net_counts_each_tensor_that_is_read_once
"""

import torch
from torch import Tensor

from nisp.pruning.contract import Problem, Scores
from nisp.pruning.layer_inputs import layer_inputs
from nisp.pruning.layer_weights import weight_of
from nisp.rankings.inf_fs import inf_fs


def score(problem: Problem, alpha: float = 0.5, variant: str = "iccv2015") -> Scores:
    """Inf-FS scores of the inputs of each group's consumers.

    alpha, variant  weight of spread against correlation in Inf-FS, and its formula
    """
    read = layer_inputs(problem.model, problem.groups, problem.images, _mean_over_positions)
    scores: Scores = {}
    for group in problem.groups:
        tensors: list[Tensor] = []
        for consumer in group.consumers:
            columns = weight_of(problem.model, consumer.name).shape[1]
            if read[consumer.name]:
                features = consumer.per_channel(torch.cat(read[consumer.name]), columns).mean(-1)
                if not any(torch.equal(features, other) for other in tensors):
                    tensors.append(features)
        ranked = [inf_fs(features, alpha, variant) for features in tensors]
        scores[group.name] = sum(ranked, torch.zeros(group.channels, dtype=torch.float64))
    return scores


def _mean_over_positions(values: Tensor) -> Tensor:
    return values.flatten(1, -2).mean(1) if values.dim() > 2 else values.clone()
