"""WARE, the error of the final responses."""

import torch
from torch import Tensor


def ware_of(original: Tensor, pruned: Tensor, weights: Tensor) -> float:
    """Weighted average relative error of the final responses that were kept (NISP, section 4.5).

    original, pruned  responses, shape (n, features kept), weights  their importance, shape (features kept,).

    The paper divides by each response, which is undefined where a ReLU is off. Here the weighted errors are
    summed first and divided by the weighted sum of the original magnitudes, so that 0 is perfect and 1 is as
    bad as responses of zero.
    """
    weights = weights.to(original)
    error = ((pruned - original).abs() * weights).sum()
    scale = (original.abs() * weights).sum()
    return (error / scale.clamp_min(torch.finfo(scale.dtype).tiny)).item()
