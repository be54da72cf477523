"""Random selection: the baseline that any criterion must beat.

Equation: score ~ U(0, 1)
Data: none.
Cost: none.
Deviations: none.
Pinned by: tests/baselines/test_criteria.py::test_random_differs_between_seeds
"""

import torch

from nisp.pruning.contract import Problem, Scores


def score(problem: Problem) -> Scores:
    """Uniform random scores, drawn with the problem's seed."""
    generator = problem.generator()
    return {group.name: torch.rand(group.channels, generator=generator) for group in problem.groups}
