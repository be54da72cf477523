"""Random selection: the least that any criterion must beat."""

import torch

from bench.contract import Problem, Scores


def score(problem: Problem) -> Scores:
    """Uniform random scores, drawn by the problem's seed."""
    generator = problem.generator()
    return {group.name: torch.rand(group.channels, generator=generator) for group in problem.groups}
