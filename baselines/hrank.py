"""HRank: the rank of a channel's map, as a measure of what it tells (Lin et al. 2020)."""

import torch
from torch import Tensor

from baselines._responses import mean_over_images
from bench.contract import Problem, Scores


def score(problem: Problem, images: int = 500) -> Scores:
    """Mean rank of rectified maps, over all layers that write a channel.

    images  calibration images, at most, whose maps are taken
    """
    ranks = mean_over_images(problem, images, _ranks)
    return {
        group.name: torch.stack([each.per_channel(ranks[each.name]) for each in group.producers]).sum(0)
        for group in problem.groups
    }


def _ranks(responses: Tensor) -> Tensor:
    """Sum over images, shape (outputs,); the response of a linear layer is a map of one position."""
    maps = responses[(...,) + (None,) * max(0, 4 - responses.dim())]
    return torch.linalg.matrix_rank(maps.flatten(3)).sum(0)
