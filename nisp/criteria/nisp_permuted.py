"""Null control of NISP: the scores of the final responses, randomly permuted among them.

Equation: s_n = a random permutation of Inf-FS(responses of the FRL), then propagated as in nisp
Data: as nisp; the problem's seed determines the permutation.
Cost: as nisp.
Deviations: ours, not the paper's.
Pinned by: tests/baselines/test_criteria.py::test_permuted_scores_are_a_permutation_at_the_final_layer
"""

import torch

from nisp.propagation import propagate
from nisp.pruning.contract import Problem, Scores
from nisp.rankings.inf_fs import inf_fs
from nisp.responses import final_responses


def score(problem: Problem, alpha: float = 0.5, variant: str = "iccv2015", joint: bool = True) -> Scores:
    """NISP with its Inf-FS scores permuted; options as in nisp."""
    scores = inf_fs(final_responses(problem.model, problem.images, problem.classifier), alpha, variant)
    frl_scores = scores[torch.randperm(len(scores), generator=problem.generator())]
    keep = problem.keep if joint else None
    return propagate(problem.model, problem.images, problem.classifier, frl_scores, problem.groups, keep)
