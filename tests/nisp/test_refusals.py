"""Functions that have a rule, with arguments for which there is none."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nisp.errors import UserError
from tests.nisp.absolute_jacobian import pulled_back
from tests.nisp.cases_measured import numbers

X = numbers(2, 3, 4)
MULTI_HEAD = "multi-head attention with extra keys or padding masks"


def multi_head(x=X, *, padding=None, **options):
    layer = nn.MultiheadAttention(4, 2, **options).double().eval()
    return lambda x: layer(x, x, x, key_padding_mask=padding, need_weights=False)[0]


CALLS = {
    "extra keys": (multi_head(add_bias_kv=True), X, MULTI_HEAD),
    "a key of zeros": (multi_head(add_zero_attn=True), X, MULTI_HEAD),
    "padding": (multi_head(padding=torch.zeros(3, 2).bool()), X, MULTI_HEAD),
    "one sequence": (multi_head(), X[0], MULTI_HEAD),
    "batch norm of the batch": (lambda x: F.batch_norm(x, None, None, training=True), X, "running statistics"),
    "batch norm in training": (
        lambda x: F.batch_norm(x, torch.zeros(3).double(), torch.ones(3).double(), training=True), X,
        "running statistics",
    ),
    "instance norm without statistics": (
        lambda x: F.instance_norm(x, None, None, use_input_stats=False), X, "running statistics"
    ),
    "sums": (lambda x: F.normalize(x, p=1.0), X, "normalize with p=1.0"),
    "growing": (lambda x: F.local_response_norm(x, 3, k=0.9), X, "local_response_norm with k=0.9"),
    "places": (lambda x: F.max_pool1d(x, 2, return_indices=True)[0], X, "max_pool1d_with_indices"),
    "adaptive places": (lambda x: F.adaptive_max_pool1d(x, 2, return_indices=True)[0], X, "max_pool1d_with_indices"),
    "larger of two": (lambda x: torch.max(x, x * 2), X, "use torch.maximum"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_arguments_without_a_rule_are_refused(name):
    call, x, message = CALLS[name]
    with pytest.raises(UserError, match=message):
        pulled_back(call, [x], torch.ones_like(x))
