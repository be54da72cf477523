"""Null control of NISP: the final responses' scores, dealt to the wrong responses at random."""

import torch

from bench.contract import Problem, Scores
from nisp.inf_fs import inf_fs
from nisp.propagation import propagate
from nisp.responses import final_responses


def score(problem: Problem, alpha: float = 0.5, variant: str = "iccv2015", joint: bool = True) -> Scores:
    """NISP with its Inf-FS scores permuted by the problem's seed."""
    scores = inf_fs(final_responses(problem.model, problem.images, problem.classifier), alpha, variant)
    frl_scores = scores[torch.randperm(len(scores), generator=problem.generator())]
    keep = problem.keep if joint else None
    return propagate(problem.model, problem.images, problem.classifier, frl_scores, problem.groups, keep)
