"""NISP-Mag: NISP with the final responses ranked by the weights that write them, not by feature selection.

Equation: s_n,i = Σ |weights that write final response i|;  s_k = |W_{k+1}|ᵀ s_{k+1}, as in nisp
Data: only the weights.
Cost: one backward pass of the absolute network for a single image.
Deviations: as we read the paper. If batch norm and average pooling stand between the writing layer and the FRL, the
    layer's own weights count, without the scale of the batch norm. If a final response is the sum of several layers (a
    residual stage), the weights of all count. If it is a position of a flattened map, it gets its channel's sum.
Pinned by: tests/nisp/test_own_criteria.py::test_nisp_mag_sums_the_weights_that_write_a_final_response_then_propagates,
    tests/nisp/test_own_criteria.py::test_nisp_mag_of_a_residual_net_adds_up_the_filters_of_all_summands
"""

import torch

from nisp.errors import UserError
from nisp.propagation import propagate
from nisp.pruning.contract import Problem, Scores
from nisp.pruning.layer_weights import count_inputs, weight_of


def score(problem: Problem, joint: bool = True) -> Scores:
    """The paper's NISP-Mag.

    joint  pruned channels stop propagating, in the same pass

    UserError if no prunable layer writes one of the final responses: there are no weights to rank it by.
    """
    model = problem.model
    frl_scores = torch.full((count_inputs(model, problem.classifier),), torch.nan)
    columns = weight_of(model, problem.classifier).shape[1]
    for group in problem.groups:
        if final := group.read_by(problem.classifier):
            sums = torch.zeros(group.channels)
            for producer in group.producers:
                weight = weight_of(model, producer.name)
                sums += producer.per_channel(weight.abs().flatten(1).sum(1)).cpu()
            frl_scores[final.per_channel(torch.arange(len(frl_scores)), columns)] = sums[:, None]
    if frl_scores.isnan().any():
        raise UserError(
            f"nisp_mag cannot rank all inputs of {problem.classifier}: some are not written by a prunable layer"
        )
    keep = problem.keep if joint else None
    return propagate(model, problem.images, problem.classifier, frl_scores, problem.groups, keep)
