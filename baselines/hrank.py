"""HRank: the rank of a channel's map, as a measure of its information (Lin et al. 2020).

Equation: score = Σ over layers that write the channel: mean over images of rank(map)
Data: calibration images, without labels, at most 500, as in the publication.
Cost: one forward pass of these images, and a singular value decomposition of every map.
Deviations: a map is the layer's response behind its batch norm and a ReLU, for any activation of the network. In a
    residual stage, every summand is taken by itself, where the publication takes the sum. A linear layer's response is
    a map of one position. Ranks of maps are integers, so ties are common; ties keep the lower index.
Pinned by: tests/baselines/test_rankings.py::test_hrank_is_the_mean_rank_of_the_rectified_maps,
    tests/baselines/test_rankings.py::test_hrank_of_maps_of_known_rank
"""

import torch
from torch import Tensor

from baselines._responses import mean_over_images, over_writers
from nisp.pruning.contract import Problem, Scores


def score(problem: Problem, images: int = 500) -> Scores:
    """Mean rank of a channel's maps behind a ReLU, summed over all layers that write it.

    images  largest number of calibration images whose maps are used
    """
    return over_writers(problem, mean_over_images(problem, images, _ranks))


def _ranks(responses: Tensor) -> Tensor:
    """Sum over images, shape (outputs,); the response of a linear layer is a map of one position."""
    maps = responses[(...,) + (None,) * max(0, 4 - responses.dim())]
    return torch.linalg.matrix_rank(maps.flatten(3)).sum(0)
