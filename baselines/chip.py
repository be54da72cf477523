"""CHIP: keep the channels whose maps are most independent of the other channels' maps (Sui et al. 2021).

Equation: score_i = Σ over layers that write the channel: mean over images of ‖A‖_* − ‖A without row i‖_*;
    A has one row per channel, its map, and ‖·‖_* is the sum of singular values
Data: calibration images, without labels, at most 64 by default.
Cost: one forward pass of these images, and one singular value decomposition per image and layer.
Deviations: the norms without row i come from one decomposition and an integral, accurate to about 1e-6 of the largest
    singular value. A map is the layer's response behind its batch norm and a ReLU, for any activation of the network;
    in a residual stage, every summand is taken by itself.
Pinned by: tests/baselines/test_rankings.py::test_chips_independence_is_the_drop_of_the_nuclear_norm,
    tests/baselines/test_rankings.py::test_chip_adds_up_the_layers_that_write_a_channel
"""

import math

import torch
from torch import Tensor

from baselines._responses import mean_over_images, over_writers
from nisp.pruning.contract import Problem, Scores

ROWS = 1024
"""Rows of matrices that are decomposed at once: as many as stay in a processor's cache."""


def score(problem: Problem, images: int = 64) -> Scores:
    """Mean drop of the nuclear norm of a layer's maps without the channel's, summed over all layers that write it.

    images  largest number of calibration images whose maps are used
    """
    return over_writers(problem, mean_over_images(problem, images, _drops))


def _drops(responses: Tensor) -> Tensor:
    """Sum over images, shape (outputs,)."""
    maps = responses[..., None].flatten(2).double()
    return torch.cat([independence(some) for some in maps.split(max(1, ROWS // maps.shape[1]))]).sum(0)


def independence(maps: Tensor) -> Tensor:
    """Drop of a matrix's nuclear norm without row i, shape (..., rows), for matrices of shape (..., rows, columns).

    With A = U S Vᵀ, rows a_i and G = AᵀA, the norm is tr √G, and without row i it is tr √(G − a_i a_iᵀ). From
    √x = 1/π ∫ x / (x + t) dt / √t and the inverse of a matrix plus one of rank one, the difference is

        1/π ∫ √t q_i(t) / p_i(t) dt,   q_i = Σ_j U_ij² S_j² / (S_j² + t)²,   p_i = 1 − Σ_j U_ij² S_j² / (S_j² + t)

    over t from 0 to infinity. In equal steps of ln t, the trapezoidal rule converges exponentially.
    """
    if maps.shape[-2] <= maps.shape[-1]:
        squares, left = torch.linalg.eigh(maps @ maps.mT)
        squares = squares.clamp_min(0)
    else:
        left, values, _ = torch.linalg.svd(maps, full_matrices=False)
        squares = values.square()
    largest = squares.amax(-1)[..., None, None].clamp_min(1e-100)
    step, low, high = 0.5, math.log(1e-12), math.log(1e12)
    t = largest * torch.arange(low, high, step, dtype=maps.dtype, device=maps.device).exp()
    weights = left.square()
    squares = squares[..., None]
    q = weights @ (squares / (squares + t) ** 2)
    # Without cancellation: U's rows have length 1, or less where there are more rows than columns.
    p = (1 - weights.sum(-1, keepdim=True)).clamp_min(0) + weights @ (t / (squares + t))
    return step / math.pi * (t**1.5 * q / p.clamp_min(1e-300)).sum(-1)
