"""Functions that have a rule, with arguments for which there is none."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nisp.errors import UserError
from tests.nisp.absolute_jacobian import pulled_back
from tests.nisp.cases_measured import numbers

X = numbers(2, 3, 4)
STEPS = "it changes in steps"
BRANCHES = "the network branches on values of its responses"
LSTM, GRU = nn.LSTM(4, 4).double(), nn.GRUCell(4, 4).double()
GRID = numbers(2, 3, 3, 2)


CALLS = {
    "batch norm in training": (
        lambda x: F.batch_norm(x, torch.zeros(3).double(), torch.ones(3).double(), training=True), X,
        "running statistics",
    ),
    "instance norm without statistics": (
        lambda x: F.instance_norm(x, None, None, use_input_stats=False), X, "instance norm without statistics"
    ),
    "half a norm": (lambda x: F.normalize(x, p=0.5), X, "normalize with p=0.5"),
    "growing": (lambda x: F.local_response_norm(x, 3, k=0.9), X, "local_response_norm with k=0.9"),
    "without a batch": (lambda x: F.conv1d(x, numbers(2, 3, 2)), X[0], "conv1d without a batch dimension"),
    "spread without a batch": (
        lambda x: F.conv_transpose1d(x, numbers(3, 2, 2)), X[0], "conv_transpose1d without a batch dimension"
    ),
    "cubic places": (lambda x: F.grid_sample(x[None], GRID[:1], mode="bicubic"), X, "grid_sample with mode='bicubic'"),
    "moving nearest places": (
        lambda x: F.grid_sample(x[None], x[None, 0, :, :2, None] * GRID[:1, :, :2], mode="nearest"), X,
        "mode='nearest' on a grid that depends on the input",
    ),
    "static keys": (
        lambda x: F.multi_head_attention_forward(
            x, x, x, 4, 2, numbers(12, 4), None, None, None, False, 0.0, numbers(4, 4), None, False, static_k=x
        )[0], X, "static keys",
    ),
    "rounded quotient": (lambda x: torch.div(x, 2, rounding_mode="floor"), X, "rounding_mode='floor': " + STEPS),
    "rounded": (torch.round, X, "round: " + STEPS), "sign": (torch.sign, X, "sign: " + STEPS),
    "floor": (lambda x: x.floor(), X, "floor: " + STEPS), "in place": (lambda x: x.ceil_(), X, "ceil_: " + STEPS),
    "floor division": (lambda x: x // 2, X, "floor_divide__: |__floordiv__: " + STEPS),
    "remainder": (lambda x: x % 2, X, STEPS), "whole": (lambda x: x.long(), X, "long: " + STEPS),
    "another type": (lambda x: x.type("torch.LongTensor"), X, "torch.int64: " + STEPS),
    "cast to whole": (lambda x: x.to(torch.int32), X, STEPS),
    "type of whole": (lambda x: x.type(torch.IntTensor), X, "torch.int32: " + STEPS),
    "bits": (lambda x: x.view(torch.int64), X, "bits as another type"),
    "item": (lambda x: x if x[0, 0, 0].item() else -x, X, "item: " + BRANCHES),
    "truth": (lambda x: x if x[0, 0, 0] else -x, X, "__bool__: " + BRANCHES),
    "number": (lambda x: x * float(x[0, 0, 0]), X, "__float__: " + BRANCHES),
    "whole number": (lambda x: x * int(x[0, 0, 0]), X, "__int__: " + BRANCHES),
    "branch": (lambda x: x if (x > 0).any() else -x, X, "__bool__: " + BRANCHES),
    "branch on a mask's sum": (lambda x: x if 2 * (x > 0).sum() > 3 else -x, X, "__bool__: " + BRANCHES),
    "loop": (lambda x: sum(x for _ in range(1 + x.argmax())), X, "__index__: " + BRANCHES),
    "place": (lambda x: x[:, x.max(1).indices[0, 0].item()], X, "item: " + BRANCHES),
    "index": (lambda x: x * x[0, 0].tolist()[0], X, "tolist: " + BRANCHES),
    "outside": (lambda x: x * torch.from_numpy(x.numpy()), X, "numpy: " + BRANCHES),
    "equal": (lambda x: x if torch.equal(x, x) else -x, X, "equal: " + BRANCHES),
    "recurrent": (lambda x: LSTM(x)[0], X, "lstm: recurrent layers have none"),
    "cell": (lambda x: GRU(x[0]), X, "gru_cell: recurrent layers have none"),
    "spectrum": (lambda x: torch.fft.rfft(x).abs(), X, "fft.rfft: Fourier transforms have none"),
    "short spectra": (
        lambda x: torch.stft(x[0], 2, return_complex=True).abs(), X, "stft: Fourier transforms have none"
    ),
    "random": (lambda x: F.gumbel_softmax(x, dim=1), X, "gumbel_softmax: its result is random"),
    "random pool": (lambda x: F.fractional_max_pool2d(x[None], 2, 2), X, "its result is random"),
    "loss": (lambda x: F.mse_loss(x, x * 2), X, "mse_loss: it is a loss"),
    "inverse": (lambda x: torch.linalg.inv(x[:, :, :3]), X, "inv: its bound is not known"),
    "bag": (lambda x: F.embedding_bag(torch.tensor([[0, 1]]), x[0]), X, "embedding_bag: its bound is not known"),
    "another": (torch.special.i0, X, "the operation torch.special.i0$"),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_arguments_without_a_rule_are_refused(name):
    call, x, message = CALLS[name]
    with pytest.raises(UserError, match=message):
        pulled_back(call, [x], torch.ones_like(x))


def test_masks_and_places_select():
    def selected(x):
        largest, mask = x.argmax(1, keepdim=True), (x > 0) & ~(x > 1)
        return torch.where(mask, x, 0 * x).gather(1, largest) + (x * mask.float())[:, :1] + x[:, largest[0, 0, :1]]

    [score] = pulled_back(selected, [X], torch.ones(2, 1, 4).double())
    assert (score >= 0).all() and score.isfinite().all() and score.any()
