"""Infinite feature selection: rank features by all paths through their affinity graph (Roffo et al., ICCV 2015)."""

import numpy as np
import scipy.linalg
import torch
from scipy.stats import rankdata
from torch import Tensor

from bench.errors import UserError

VARIANTS = ("iccv2015", "release2016")
DAMPING = 0.9
"""r * rho(A): how much a path's weight shrinks by each further step; the paper's choice."""


def inf_fs(responses: Tensor, alpha: float = 0.5, variant: str = "iccv2015") -> Tensor:
    """Importance of each feature, shape (features,), float64, from ``responses`` of shape (samples, features).

    Energies are the row sums of (I - r A)^-1 - I with r = 0.9 / rho(A), found by one linear solve. The affinity is

    iccv2015     A_ij = alpha * max(std_i, std_j) + (1 - alpha) * (1 - |spearman_ij|)
    release2016  the authors' MATLAB release, as we read it: signed Spearman, standard deviations scaled to
                 [0, 1], and alpha on the other term

    Ties take average ranks. A feature that is constant over the samples has no correlation and scores 0; it takes
    no part in the graph.

    UserError for an unknown variant, an alpha outside [0, 1], fewer than two samples, or values that are not finite.
    """
    if variant not in VARIANTS:
        raise UserError(f"Inf-FS variant '{variant}' is unknown: choose one of {', '.join(VARIANTS)}")
    if not 0 <= alpha <= 1:
        raise UserError(f"Inf-FS alpha is {alpha}: it must lie between 0 and 1")
    samples = responses.detach().cpu().double().numpy()
    if samples.ndim != 2 or len(samples) < 2:
        raise UserError(f"Inf-FS needs responses of shape (samples >= 2, features), not {tuple(responses.shape)}")
    if not np.isfinite(samples).all():
        raise UserError("Inf-FS was given responses that are not finite: has the base model diverged?")
    alive = samples.max(0) > samples.min(0)
    energies = np.zeros(samples.shape[1])
    energies[alive] = _energies(_affinity(samples[:, alive], alpha, variant))
    return torch.from_numpy(energies)


def _affinity(samples: np.ndarray, alpha: float, variant: str) -> np.ndarray:
    """The graph's weights A, shape (features, features); no feature is constant."""
    std = samples.std(0, ddof=1)
    spearman = _spearman(samples)
    if variant == "release2016":
        span = std.max(initial=0) - std.min(initial=np.inf)
        scaled = (std - std.min()) / span if span > 0 else np.zeros_like(std)
        return alpha * (1 - spearman) + (1 - alpha) * np.maximum.outer(scaled, scaled)
    return alpha * np.maximum.outer(std, std) + (1 - alpha) * (1 - np.abs(spearman))


def _spearman(samples: np.ndarray) -> np.ndarray:
    """Rank correlation of every pair of columns, ties on average ranks."""
    ranks = rankdata(samples, axis=0)
    ranks -= ranks.mean(0)
    ranks /= np.linalg.norm(ranks, axis=0)
    return np.clip(ranks.T @ ranks, -1, 1)


def _energies(affinity: np.ndarray) -> np.ndarray:
    """Row sums of (I - r A)^-1 - I."""
    radius = _spectral_radius(affinity)
    if radius == 0:
        return np.zeros(len(affinity))
    ones = np.ones(len(affinity))
    return scipy.linalg.solve(np.eye(len(affinity)) - DAMPING / radius * affinity, ones, assume_a="sym") - ones


def _spectral_radius(affinity: np.ndarray, tolerance: float = 1e-12, steps: int = 1000) -> float:
    """Largest eigenvalue of a symmetric matrix without negative entries, by power iteration."""
    vector = np.ones(len(affinity))
    radius = 0.0
    for _ in range(steps):
        image = affinity @ vector
        norm = np.linalg.norm(image)
        if norm == 0:
            return 0.0
        previous, radius = radius, float(norm / np.linalg.norm(vector))
        vector = image / norm
        if abs(radius - previous) <= tolerance * radius:
            break
    return radius
