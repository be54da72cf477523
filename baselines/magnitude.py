"""Magnitude: the L1 norm of a channel's filter (Li et al. 2017)."""

import torch
from torch import Tensor

from bench.contract import Problem, Scores


def score(problem: Problem) -> Scores:
    """Sum of |weights| that write a channel, over all layers that write it."""

    def norms(layer: str) -> Tensor:
        return problem.model.get_parameter(f"{layer}.weight").detach().abs().flatten(1).sum(1).cpu()

    return {group.name: torch.stack([norms(layer) for layer in group.producers]).sum(0) for group in problem.groups}
