"""CHIP: channels whose maps are independent of the other channels' stay (Sui et al. 2021).

Equation: score_i = Σ over layers that write the channel: mean over images of ‖A‖_* − ‖A without row i‖_*;
    A has one row a channel, its map, and ‖·‖_* is the sum of singular values
Data: calibration images, without labels, at most 32 by default.
Cost: one forward pass of these images; for each image and layer as many eigenvalue problems as channels, of the size
    of channels or positions, whichever are fewer.
Deviations: at most 256 positions of a map are used, drawn at random. A map is the layer's response behind its batch
    norm and a ReLU, whatever the network's activation; in a residual stage each summand by itself.
Pinned by: tests/baselines/test_rankings.py::test_chips_independence_is_the_drop_of_the_nuclear_norm,
    tests/baselines/test_rankings.py::test_chip_adds_up_the_layers_that_write_a_channel
"""

from functools import partial

import torch
from torch import Tensor

from baselines._responses import mean_over_images
from bench.contract import Problem, Scores


def score(problem: Problem, images: int = 32, positions: int = 256) -> Scores:
    """Mean drop of the nuclear norm of a layer's maps without the channel's, over all layers that write it.

    images     calibration images, at most, whose maps are taken
    positions  positions of a map, at most, that are sampled (the same of all channels and images)
    """
    drops = mean_over_images(problem, images, partial(_drops, positions=positions, seed=problem.seed))
    return {
        group.name: torch.stack([each.per_channel(drops[each.name]) for each in group.producers]).sum(0)
        for group in problem.groups
    }


def _drops(responses: Tensor, positions: int, seed: int) -> Tensor:
    """Sum over images, shape (outputs,)."""
    maps = responses[..., None].flatten(2).double()
    if maps.shape[2] > positions:
        chosen = torch.randperm(maps.shape[2], generator=torch.Generator().manual_seed(seed))[:positions]
        maps = maps[:, :, chosen.to(maps.device)]
    return torch.stack([_independence(each) for each in maps]).sum(0)


def _independence(maps: Tensor) -> Tensor:
    """Nuclear norm of a matrix, less that without each of its rows, shape (rows,), from shape (rows, columns).

    The singular values are the roots of the eigenvalues of its smaller Gram matrix, from which one row and column go
    (Gram matrix of the rows), or one row's part is subtracted (of the columns).
    """
    rows, columns = maps.shape
    if rows <= columns:
        without = (maps @ maps.T).repeat(rows, 1, 1)
        each = torch.arange(rows, device=maps.device)
        whole = _nuclear(without[0])
        without[each, each] = 0
        without[each, :, each] = 0
        return whole - _nuclear(without)
    gram = maps.T @ maps
    parts = [_nuclear(gram - some[:, :, None] * some[:, None]) for some in maps.split(128)]
    return _nuclear(gram) - torch.cat(parts)


def _nuclear(gram: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(gram).clamp_min(0).sqrt().sum(-1)
