"""Layers with weights: |W x - W y| <= |W| |x - y|. The bias drops out.

The adjoint is the transposed layer with |W|, computed directly, in the network's own precision. A weight that is itself
a response (dynamic convolution) gets a score as in a product: |d(Wx)| <= |W| |dx| + |dW| |x|, at the measured
responses.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.absolute import Response, hollow, measured, responses_in
from nisp.errors import UserError
from nisp.rules.generic import bilinear
from nisp.rules.names import spelled
from nisp.table import GAINS, PRODUCTS, WEIGHED, Adjoint, Rule, composed, rule


def weighted(score: Tensor, weight: Tensor, multiply: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """``multiply(score, |W|)`` in the precision of the weight, at least float32; scores go in and out as float64.

    For float32, which is several times faster, scores are divided by a power of two so that the largest is about 1.
    Nothing cancels in sums of non-negative values, so the relative error stays near 1e-6.
    """
    size = measured(weight).abs()
    if weight.dtype == torch.float64:
        return multiply(score, size)
    peak = score.max().item()
    exponent = math.frexp(peak)[1] if math.isfinite(peak) else 0
    small = torch.mul(score, 2.0**-exponent, out=torch.empty_like(score, dtype=torch.float32))
    with torch.autocast(score.device.type, enabled=False):  # scores may be asked for within autocast
        return multiply(small, size.float()).double().mul_(2.0**exponent)


def _with_bias(adjoint: Adjoint, bias: Any, axis: int) -> Adjoint:
    """The same, with a score for a bias that is a response, added along ``axis``."""
    if not isinstance(bias, Response):
        return adjoint
    return lambda score: [*adjoint(score), score.movedim(axis, 0).reshape(len(bias), -1).sum(1)]


@rule(F.linear)
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Adjoint:
    if isinstance(weight, Response) or not isinstance(input, Response) or weight.dim() == 1:
        return _with_bias(_multiplied(F.linear, input, weight), bias, -1)
    return _with_bias(lambda score: [weighted(score, weight, torch.matmul)], bias, -1)


def _convolution(convolve: Any, dimensions: int) -> Rule:
    def absolute(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Adjoint:
        axis = -dimensions - 1
        _refuse_single(convolve, input, weight, dimensions)
        if isinstance(weight, Response) or isinstance(padding, str) or not isinstance(input, Response):
            found = _multiplied(convolve, input, weight, None, stride, padding, dilation, groups)
            return _with_bias(found, bias, axis)
        steps, margins, gaps = (_each(value, dimensions) for value in (stride, padding, dilation))
        shape = hollow(input)

        def transposed(score: Tensor, size: Tensor) -> Tensor:
            if groups > 1 and groups == shape.shape[1]:
                return scattered(score, size[:, 0], shape.shape, steps, margins, gaps)
            back = torch.ops.aten.convolution_backward
            like, none, mask = shape.to(score.dtype), [0] * dimensions, [True, False, False]
            return back(score, like, size, None, steps, margins, gaps, False, none, groups, mask)[0]

        return _with_bias(lambda score: [weighted(score, weight, transposed)], bias, axis)

    return absolute


def _transposed_convolution(spread: Any, convolve: Any, dimensions: int) -> Rule:
    def absolute(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Adjoint:
        axis = -dimensions - 1
        _refuse_single(spread, input, weight, dimensions)
        if isinstance(weight, Response) or not isinstance(input, Response):
            found = _multiplied(spread, input, weight, None, stride, padding, output_padding, groups, dilation)
            return _with_bias(found, bias, axis)
        inner = tuple(slice(size) for size in input.shape[-dimensions:])

        # The transpose of a transposed convolution is the convolution with the same weight.
        def transposed(score: Tensor, size: Tensor) -> Tensor:
            return convolve(score, size, None, stride, padding, dilation, groups)[..., *inner]

        return _with_bias(lambda score: [weighted(score, weight, transposed)], bias, axis)

    return absolute


def _refuse_single(func: Any, input: Tensor, weight: Tensor, dimensions: int) -> None:
    """Channels of a layer are dimension 1."""
    if input.dim() == dimensions + 1 and not isinstance(weight, Response):
        raise UserError(f"NISP has no rule for the operation {func.__name__} without a batch dimension")


def _multiplied(func: Any, *arguments: Any) -> Adjoint:
    """A product of responses, among them the weight; of none, where only the bias is one."""
    found = bilinear(func)(*arguments) if responses_in(arguments) else None
    return found or (lambda score: [])


PRODUCTS.add(F.bilinear)


@rule(F.bilinear)
def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Adjoint:
    return _with_bias(_multiplied(F.bilinear, input1, input2, weight), bias, -1)


@composed(*spelled("convolution", "_convolution"))
def _any_convolution(
    input: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    output_padding: Any, groups: int, *_: Any,
) -> Tensor:  # fmt: skip
    dimensions = weight.dim() - 2
    if transposed:
        spread = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dimensions - 1]
        return spread(input, weight, bias, stride, padding, output_padding, groups, dilation)
    return (F.conv1d, F.conv2d, F.conv3d)[dimensions - 1](input, weight, bias, stride, padding, dilation, groups)


def _total(weight: Tensor) -> float:
    """Sum of |W|, estimated from every eighth output."""
    some = measured(weight)[::8]
    return torch.linalg.vector_norm(some, 1).item() * len(weight) / len(some)


def _linear_gain(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> float:
    """Mean column sum of |W|."""
    return _total(weight) / weight.shape[-1]


def _gain(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, *_: Any, **__: Any) -> float:
    return _total(weight) / input.shape[1 - weight.dim()] / math.prod(_each(stride, weight.dim() - 2))


def _transposed_gain(input: Tensor, weight: Tensor, *_: Any, **__: Any) -> float:
    return _total(weight) / weight.shape[0]


for _dimensions, (_convolve, _spread) in enumerate(
    ((F.conv1d, F.conv_transpose1d), (F.conv2d, F.conv_transpose2d), (F.conv3d, F.conv_transpose3d)), 1
):
    rule(_convolve)(_convolution(_convolve, _dimensions))
    rule(_spread)(_transposed_convolution(_spread, _convolve, _dimensions))
    GAINS[_convolve], GAINS[_spread] = _gain, _transposed_gain
    WEIGHED.update((_convolve, _spread))
GAINS[F.linear] = _linear_gain
WEIGHED.add(F.linear)


def scattered(
    score: Tensor,
    weight: Tensor,
    shape: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] | None = None,
) -> Tensor:
    """Transpose of a sliding window: each position of ``shape`` (n, c, ...) gets the scores of the windows it is in.

    ``weight``, shape (c * m, ...) or (1, ...), weighs the positions of a window. One pass per position is much faster
    than a convolution with as many groups as channels.
    """
    dilation = dilation or [1] * len(stride)
    channels, outputs, kernel = shape[1], score.shape[2:], weight.shape[1:]
    reach = [s * (o - 1) + d * (k - 1) + 1 for s, o, d, k in zip(stride, outputs, dilation, kernel, strict=True)]
    padded = [max(r, n + 2 * p) for r, n, p in zip(reach, shape[2:], padding, strict=True)]
    total = score.new_zeros(*shape[:2], *padded)
    taps: Any = itertools.product(*map(range, kernel))
    for tap in taps:
        places: Any = [
            slice(t * d, t * d + s * (o - 1) + 1, s) for t, d, s, o in zip(tap, dilation, stride, outputs, strict=True)
        ]
        part = score * weight[:, *tap].reshape(1, -1, *[1] * len(kernel))
        if part.shape[1] != channels:  # several outputs per channel
            part = part.unflatten(1, (channels, -1)).sum(2)
        total[..., *places] += part
    inner: Any = [slice(p, p + n) for p, n in zip(padding, shape[2:], strict=True)]
    return total[..., *inner]


def _each(value: Any, dimensions: int) -> list[int]:
    value = [value] if isinstance(value, int) else list(value)
    return value * dimensions if len(value) == 1 else value
