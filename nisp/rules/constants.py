"""What counts as a constant although it is computed from responses, and what can have no rule."""

from typing import Any

import torch
from torch import Tensor

from nisp.rules.names import in_place, spelled
from nisp.table import COMPARISONS, CONSTANTS, REFUSED

CONSTANTS.update(
    spelled(
        "size", "dim", "numel", "nelement", "stride", "ndimension", "element_size", "storage_offset", "get_device",
        "data_ptr", "is_floating_point", "is_complex", "is_signed", "is_contiguous", "is_conj", "is_neg",
        "is_inference", "is_same_size", "is_shared", "is_pinned", "is_tensor", "zeros_like", "ones_like",
        "empty_like", "full_like", "rand_like", "randn_like", "randint_like", "new_zeros", "new_ones", "new_empty",
        "new_full", "new_tensor", "result_type", "can_cast", "__len__", "__hash__",
    )
)  # fmt: skip
COMPARISONS.update(
    spelled(
        "eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater", "greater_equal", "isclose",
        "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "argmax", "argmin", "argsort", "isnan", "isinf",
        "isfinite", "isposinf", "isneginf", "signbit", "logical_and", "logical_or", "logical_xor", "logical_not", "any",
        "all", "bool", "nonzero", "argwhere", "count_nonzero", "bucketize", "searchsorted", "__repr__",
    )
)  # fmt: skip

STEPS = "it changes in steps, so no multiple of its input's change bounds its own"
RECURRENT = "recurrent layers have none"
SPECTRA = "Fourier transforms have none"
RANDOM = "its result is random"
LOSSES = "it is a loss"
RARE = "its bound is not known"


def _refuse(reason: str, *functions: Any) -> None:
    REFUSED.update(dict.fromkeys(functions, reason))


_steps = ("sign", "sgn", "round", "floor", "ceil", "trunc", "fix", "frac", "heaviside", "floor_divide", "remainder",
          "fmod")  # fmt: skip
_refuse(
    STEPS, *spelled(*_steps, "int", "long", "short", "byte", "char", "bincount", "histc", "unique"), *in_place(*_steps),
    Tensor.__floordiv__, Tensor.__rfloordiv__, Tensor.__mod__, Tensor.__rmod__, Tensor.__imod__,
)  # fmt: skip
_refuse(RECURRENT, *spelled("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell",
                            "rnn_relu_cell"))  # fmt: skip
_refuse(
    SPECTRA, torch.stft, Tensor.stft, torch.istft, Tensor.istft,
    *(f for name in torch.fft.__all__ if callable(f := getattr(torch.fft, name)) and not name.endswith("freq")),
)  # fmt: skip
_refuse(
    RANDOM,
    *spelled("gumbel_softmax", "bernoulli", "multinomial", "normal", "poisson"),
    *in_place("bernoulli", "normal", "uniform", "random", "exponential", "geometric", "cauchy", "log_normal"),
    *(f for d in (2, 3) for f in spelled(f"fractional_max_pool{d}d", f"fractional_max_pool{d}d_with_indices")),
)
_refuse(
    LOSSES,
    *spelled(
        "ctc_loss", "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div",
        "binary_cross_entropy", "binary_cross_entropy_with_logits", "poisson_nll_loss", "gaussian_nll_loss",
        "hinge_embedding_loss", "cosine_embedding_loss", "margin_ranking_loss", "multi_margin_loss",
        "multilabel_margin_loss", "multilabel_soft_margin_loss", "soft_margin_loss", "triplet_margin_loss",
        "triplet_margin_with_distance_loss",
    ),
)  # fmt: skip
_refuse(
    RARE, *spelled("inv", "inverse", "pinv", "pinverse", "det", "logdet", "slogdet", "svd", "svdvals", "eigh", "eig",
                   "eigvals", "eigvalsh", "qr", "cholesky", "solve", "lstsq", "matrix_exp", "matrix_power",
                   "quantile", "nanquantile", "aminmax", "scatter_reduce", "index_reduce", "as_strided",
                   "embedding_bag"),
)  # fmt: skip
