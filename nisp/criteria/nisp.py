"""NISP: Inf-FS scores of the final responses, propagated to every layer in one backward pass."""

from bench.contract import Problem, Scores
from nisp.inf_fs import inf_fs
from nisp.propagation import propagate
from nisp.responses import final_responses


def score(problem: Problem, alpha: float = 0.5, variant: str = "iccv2015", joint: bool = True) -> Scores:
    """Yu et al. 2018, algorithm 1.

    alpha, variant  Inf-FS's mix of spread and correlation, and its formula
    joint           pruned channels stop propagating, in the same pass
    """
    responses = final_responses(problem.model, problem.images, problem.classifier)
    frl_scores = inf_fs(responses, alpha, variant)
    keep = problem.keep if joint else None
    return propagate(problem.model, problem.images, problem.classifier, frl_scores, problem.groups, keep)
