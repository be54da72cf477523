"""Infinite feature selection: rank features by all paths through their affinity graph (Roffo et al., ICCV 2015)."""

import numpy as np
import torch
from torch import Tensor

from nisp.errors import UserError

VARIANTS = ("iccv2015", "release2016")
DAMPING = 0.9
"""r * rho(A): the factor by which every further step shrinks a path's weight; the paper's choice."""

MANY = 1024
"""Above this many features, correlations are computed in float32: accurate to about 1e-6, and three times as fast."""

ROWS = 256
"""Features that are ranked at once, so that they stay in the processor's cache."""


def inf_fs(responses: Tensor, alpha: float = 0.5, variant: str = "iccv2015") -> Tensor:
    """Importance of each feature, shape (features,), float64, from ``responses`` of shape (samples, features).

    Importances are the row sums of (I - r A)^-1 - I with r = 0.9 / rho(A), found by solving one linear system, with
    one of these affinities A:

    iccv2015     A_ij = alpha * max(std_i, std_j) + (1 - alpha) * (1 - |spearman_ij|)
    release2016  the authors' MATLAB release, as we read it: signed Spearman, standard deviations scaled to
                 [0, 1], and alpha on the other term

    Ties take average ranks. A feature that is constant over the samples has no correlation: it is left out of the
    graph and scores 0.

    UserError for an unknown variant, an alpha outside [0, 1], fewer than two samples, or values that are not finite.
    """
    if variant not in VARIANTS:
        raise UserError(f"Inf-FS variant '{variant}' is unknown: choose one of {', '.join(VARIANTS)}")
    if not 0 <= alpha <= 1:
        raise UserError(f"Inf-FS alpha is {alpha}: it must lie between 0 and 1")
    if responses.dim() != 2 or len(responses) < 2:
        raise UserError(f"Inf-FS needs responses of shape (samples >= 2, features), not {tuple(responses.shape)}")
    features = np.ascontiguousarray(responses.detach().cpu().to(_precision(responses)).numpy().T)
    if not np.isfinite(features).all():
        raise UserError("Inf-FS was given responses that are not finite; check that the base model has not diverged")
    alive = features.max(1) > features.min(1)
    energies = np.zeros(len(features))
    if alive.any():
        energies[alive] = _energies(_affinity(features[alive], alpha, variant))
    return torch.from_numpy(energies)


def rank(responses: Tensor, alpha: float = 0.5, variant: str = "iccv2015") -> Tensor:
    """`inf_fs` under the name that a suite expects of a ranking."""
    return inf_fs(responses, alpha, variant)


def _precision(responses: Tensor) -> torch.dtype:
    return torch.float64 if responses.dtype == torch.float64 else torch.float32


def _affinity(features: np.ndarray, alpha: float, variant: str) -> np.ndarray:
    """The affinities A, shape (features, features), of features, shape (features, samples), none of them constant."""
    std = features.std(1, ddof=1, dtype=np.float64)
    affinity = _spearman(features)
    if variant == "release2016":
        span = std.max() - std.min()
        std = (std - std.min()) / span if span > 0 else np.zeros_like(std)
        alpha = 1 - alpha
    else:
        np.abs(affinity, out=affinity)
    affinity -= 1
    affinity *= alpha - 1
    for row, own in zip(affinity, std, strict=True):
        row += alpha * np.maximum(own, std)
    return affinity


def _spearman(features: np.ndarray) -> np.ndarray:
    """Rank correlation of every pair of rows; ties take average ranks; float64."""
    precision = np.float32 if len(features) > MANY else np.float64
    ranks = np.empty(features.shape, precision)
    for start in range(0, len(features), ROWS):
        part = _ranks(features[start : start + ROWS])
        ranks[start : start + ROWS] = part / np.linalg.norm(part, axis=1, keepdims=True)
    correlation = (ranks @ ranks.T).astype(np.float64, copy=False)
    return np.clip(correlation, -1, 1, out=correlation)


def _ranks(features: np.ndarray) -> np.ndarray:
    """Ranks within each row minus their mean; ties take average ranks; float64."""
    count = features.shape[1]
    order, ordered = _sorted(features)
    first = np.ones(ordered.shape, dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=first[:, 1:])
    starts = np.flatnonzero(first)
    lengths = np.diff(starts, append=first.size)
    averages = starts % count + (lengths - count) / 2
    ranks = np.empty(ordered.shape)
    np.put_along_axis(ranks, order, averages.repeat(lengths).reshape(ordered.shape), 1)
    return ranks


def _sorted(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's order, and its values in that order, or integers with the same order and the same ties."""
    if features.dtype == np.float64:
        order = np.argsort(features, axis=1)
        return order, np.take_along_axis(features, order, 1)
    # The bits of a float32, read as an integer, have the order of the values once those of negative values are flipped.
    # With the index in the lower half of 64 bits, one plain sort is enough, several times as fast as an argsort.
    bits = (features + np.float32(0)).view(np.int32)  # -0 becomes 0
    bits ^= (bits >> 31) & 0x7FFFFFFF
    packed = bits.astype(np.int64) << 32 | np.arange(features.shape[1])
    packed.sort(axis=1)
    return packed & 0xFFFFFFFF, packed >> 32


def _energies(affinity: np.ndarray) -> np.ndarray:
    """Row sums of (I - r A)^-1 - I, by conjugate gradients: the eigenvalues of I - r A lie between 0.1 and 1.9."""
    radius = _spectral_radius(affinity)
    if radius == 0:
        return np.zeros(len(affinity))
    rate = DAMPING / radius
    found = np.zeros(len(affinity))
    residual = np.ones(len(affinity))
    direction = residual
    square = residual @ residual
    target = 1e-26 * square
    for _ in range(1000):
        image = direction - rate * (affinity @ direction)
        step = square / (direction @ image)
        found = found + step * direction
        residual = residual - step * image
        previous, square = square, residual @ residual
        if square <= target:
            break
        direction = residual + square / previous * direction
    return found - 1


def _spectral_radius(affinity: np.ndarray, tolerance: float = 1e-12, steps: int = 1000) -> float:
    """Largest eigenvalue of a symmetric matrix with non-negative entries, by power iteration."""
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
