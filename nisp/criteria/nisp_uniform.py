"""Null control of NISP: every final response has the same score, so that only the propagation is left."""

import torch

from bench.contract import Problem, Scores
from nisp.propagation import propagate


def score(problem: Problem, joint: bool = True) -> Scores:
    """NISP with all final responses equally important."""
    frl_scores = torch.ones(problem.model.get_parameter(f"{problem.classifier}.weight").shape[1])
    keep = problem.keep if joint else None
    return propagate(problem.model, problem.images, problem.classifier, frl_scores, problem.groups, keep)
