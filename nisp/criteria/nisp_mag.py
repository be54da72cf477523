"""NISP-Mag: NISP whose final responses are ranked by the weights that write them, not by feature selection.

Equation: s_n,i = Σ |weights that write final response i|;  s_k = |W_{k+1}|ᵀ s_{k+1}, as in nisp
Data: none but the weights.
Cost: one backward pass of the absolute network for a single image.
Deviations: as we read the paper. Where batch norm and average pooling stand between the writing layer and the FRL, the
    layer's own weights count, without the batch norm's scale; a final response to which several layers are added up
    (a residual stage) counts the weights of all; one that is a position of a flattened map has its channel's sum.
Pinned by: tests/nisp/test_own_criteria.py::test_nisp_mag_sums_the_weights_that_write_a_final_response_then_propagates,
    tests/nisp/test_own_criteria.py::test_nisp_mag_of_a_residual_net_adds_up_the_filters_of_all_summands
"""

import torch

from nisp.errors import UserError
from nisp.propagation import propagate
from nisp.pruning.contract import Problem, Scores


def score(problem: Problem, joint: bool = True) -> Scores:
    """The paper's NISP-Mag.

    joint  pruned channels stop propagating, in the same pass

    UserError if a final response is written by no layer that can be pruned: there are no weights to rank it by.
    """
    model = problem.model
    frl_scores = torch.full((model.get_parameter(f"{problem.classifier}.weight").shape[1],), torch.nan)
    for group in problem.groups:
        if final := group.read_by(problem.classifier):
            sums = torch.zeros(group.channels)
            for producer in group.producers:
                weight = model.get_parameter(f"{producer.name}.weight").detach()
                sums += producer.per_channel(weight.abs().flatten(1).sum(1)).cpu()
            frl_scores[final.inputs] = sums[:, None]
    if frl_scores.isnan().any():
        raise UserError(
            f"nisp_mag cannot rank all that {problem.classifier} reads: some of it no prunable layer writes"
        )
    keep = problem.keep if joint else None
    return propagate(model, problem.images, problem.classifier, frl_scores, problem.groups, keep)
