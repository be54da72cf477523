"""Null control of NISP: every final response has the same score, so only the propagation remains.

Equation: s_n = 1, then propagated as in nisp
Data: only the weights.
Cost: one backward pass of the absolute network for a single image.
Deviations: ours, not the paper's. It is SynFlow's absolute network (Tanaka et al. 2020) with NISP's scores.
Pinned by: tests/nisp/test_own_criteria.py::test_nisp_uniform_sums_the_paths_to_the_final_responses
"""

import torch

from nisp.propagation import propagate
from nisp.pruning.contract import Problem, Scores
from nisp.pruning.layer_weights import count_inputs


def score(problem: Problem, joint: bool = True) -> Scores:
    """NISP with all final responses equally important."""
    frl_scores = torch.ones(count_inputs(problem.model, problem.classifier))
    keep = problem.keep if joint else None
    return propagate(problem.model, problem.images, problem.classifier, frl_scores, problem.groups, keep)
