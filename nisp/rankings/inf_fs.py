"""Inf-FS (Roffo et al., ICCV 2015), the paper's ranking of the final responses."""

from torch import Tensor

from nisp.inf_fs import inf_fs


def rank(responses: Tensor, alpha: float = 0.5, variant: str = "iccv2015") -> Tensor:
    """Importance of each feature, shape (features,), of responses of shape (samples, features).

    alpha, variant  Inf-FS's mix of spread and correlation, and its formula
    """
    return inf_fs(responses, alpha, variant)
