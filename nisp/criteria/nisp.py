"""NISP: Inf-FS scores of the final responses, propagated to every layer in one backward pass.

Equation: s_n = Inf-FS(responses of the FRL);  s_k = |W_{k+1}|ᵀ s_{k+1};  score of a channel = Σ over its map of s_k
Data: calibration images for Inf-FS, without labels; the propagation needs none.
Cost: one forward pass of the calibration images, Inf-FS of the FRL (features² times images), and one backward pass of
    the absolute network for a single image.
Deviations: the paper gives neither Inf-FS's formula nor α, so both are options. It does not treat coupled groups; here
    their score is the sum over the tensors that their layers write, each counted once. See docs/method.md.
Pinned by: tests/nisp/test_propagation.py::test_equals_the_dense_oracle,
    tests/nisp/rankings/test_inf_fs.py::test_equals_the_literal_formula
"""

from nisp.propagation import propagate
from nisp.pruning.contract import Problem, Scores
from nisp.rankings.inf_fs import inf_fs
from nisp.responses import final_responses


def score(problem: Problem, alpha: float = 0.5, variant: str = "iccv2015", joint: bool = True) -> Scores:
    """Yu et al. 2018, algorithm 1.

    alpha, variant  weight of spread against correlation in Inf-FS, and its formula
    joint           pruned channels stop propagating, in the same pass
    """
    responses = final_responses(problem.model, problem.images, problem.classifier)
    frl_scores = inf_fs(responses, alpha, variant)
    keep = problem.keep if joint else None
    return propagate(problem.model, problem.images, problem.classifier, frl_scores, problem.groups, keep)
