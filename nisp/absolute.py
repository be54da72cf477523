"""The absolute network: a network whose operations are replaced by their Lipschitz bounds.

Inside ``with AbsoluteNetwork():`` a model's own forward computes, for each final response, the bound of NISP's
Proposition 2: |W| instead of W and no bias, activations as the identity. The result is linear in the input with
coefficients that are not negative, so its gradient is NISP's rule s_k = |W|^T s_{k+1} at every layer, skips and
branches included. (SynFlow, Tanaka et al. 2020, is the same network with s = 1 at the output, used per weight.)

One small rule per torch function, in one table. An operation without a rule is refused by name, never guessed.

operation                      rule
linear, convolution            |W|, no bias: |W x - W y| <= |W| |x - y|
batch norm (inference)         |gamma| / sqrt(var + eps) per channel
ReLU and its kin, dropout      identity: 1-Lipschitz
max pool                       sum over the window: |max x - max y| <= sum |x - y|
average and adaptive pool      as they are: positive and linear already
local response norm            identity: dividing by (k + ...)^beta shrinks for k >= 1; the coupling of neighbouring
                               channels through the divisor is left out
addition, subtraction          sum of the branches; a constant drops out
scaling by a constant          its absolute value
concat, flatten, slicing       as they are
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from bench.errors import UserError

Rule = Callable[..., Any]
RULES: dict[Any, Rule] = {}


def rule(*functions: Any) -> Callable[[Rule], Rule]:
    """Register the decorated rule for each of ``functions``; it takes the same arguments."""

    def register(body: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, body))
        return body

    return register


class AbsoluteNetwork(TorchFunctionMode):
    """Context in which torch functions follow the rules above, in the input's precision."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in RULES:
            return RULES[func](*args, **kwargs)
        if getattr(func, "__name__", "") == "__get__" or func in AS_IS:
            return func(*args, **kwargs)
        raise UserError(f"NISP has no rule for the operation {resolve_name(func) or func}")


def _abs(weight: Tensor, like: Tensor) -> Tensor:
    return weight.detach().to(like.dtype).abs()


@rule(F.linear)
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(input, _abs(weight, input))


def _convolution(convolve: Callable[..., Tensor]) -> Rule:
    def absolute(input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        return convolve(input, _abs(weight, input), None, *args, **kwargs)

    return absolute


for _function in (F.conv1d, F.conv2d, F.conv3d):
    RULES[_function] = _convolution(_function)


@rule(F.batch_norm)
def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if running_var is None or training:
        raise UserError("NISP needs batch norms that have running statistics")
    gain = 1 / torch.sqrt(running_var.to(input.dtype) + eps)
    if weight is not None:
        gain = gain * _abs(weight, input)
    return input * gain.reshape(1, -1, *[1] * (input.dim() - 2))


@rule(
    F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.leaky_relu, F.elu, F.celu, F.hardtanh,
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout,
    torch.tanh, Tensor.tanh, F.tanh, F.softplus, F.local_response_norm,
)  # fmt: skip
def _identity(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return input.view_as(input)


@rule(F.max_pool2d, torch.max_pool2d)
def _max_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    if dilation not in (1, (1, 1)) or return_indices:
        raise UserError("NISP has no rule for a max pool with dilation or with indices")
    return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, divisor_override=1)


@rule(F.adaptive_max_pool2d)
def _adaptive_max_pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
    height, width = height or input.shape[-2], width or input.shape[-1]
    rows = torch.stack([input[..., _window(i, input.shape[-2], height), :].sum(-2) for i in range(height)], -2)
    return torch.stack([rows[..., _window(j, input.shape[-1], width)].sum(-1) for j in range(width)], -1)


def _window(index: int, size: int, bins: int) -> slice:
    """PyTorch's adaptive pooling window ``index`` of ``bins`` over ``size`` positions."""
    return slice(index * size // bins, -(-(index + 1) * size // bins))


@rule(
    torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__, Tensor.__radd__,
    torch.sub, Tensor.sub, Tensor.__sub__, Tensor.__isub__, Tensor.__rsub__,
)  # fmt: skip
def _sum(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    if not _carries(input):
        return other
    return input + abs(alpha) * other if _carries(other) else input.view_as(input)


@rule(torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)
def _multiplied(input: Any, other: Any) -> Tensor:
    if _carries(input) and _carries(other):
        raise UserError("NISP has no rule for the product of two responses")
    signal, factor = (input, other) if _carries(input) else (other, input)
    return signal * (_abs(factor, signal) if isinstance(factor, Tensor) else abs(factor))


@rule(torch.div, Tensor.div, Tensor.__truediv__)
def _divided(input: Tensor, other: Any) -> Tensor:
    if _carries(other):
        raise UserError("NISP has no rule for division by a response")
    return input / (_abs(other, input) if isinstance(other, Tensor) else abs(other))


def _carries(value: Any) -> bool:
    """Whether ``value`` depends on the network's input."""
    return isinstance(value, Tensor) and value.requires_grad and not isinstance(value, torch.nn.Parameter)


AS_IS = {
    F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
    torch.cat, torch.concat, torch.stack, torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape, torch.reshape,
    Tensor.permute, torch.permute, Tensor.transpose, torch.transpose, Tensor.contiguous, Tensor.__getitem__,
    torch.squeeze, Tensor.squeeze, torch.unsqueeze, Tensor.unsqueeze, torch.chunk, Tensor.chunk, torch.split,
    Tensor.split, Tensor.mean, torch.mean, Tensor.sum, torch.sum, Tensor.clone, F.pad, Tensor.size, Tensor.dim,
    Tensor.numel, Tensor.is_floating_point, Tensor.__len__,
}  # fmt: skip
