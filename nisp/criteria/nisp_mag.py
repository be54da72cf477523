"""NISP-Mag: NISP whose final responses are ranked by the weights that write them, not by feature selection."""

import torch

from bench.contract import Problem, Scores
from bench.errors import UserError
from nisp.propagation import propagate


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
