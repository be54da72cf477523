"""Multiply-accumulates (MACs) of a network: convolutions, matrix products, attention, recurrent layers.

By torch's FlopCounterMode, which counts operations, so functional calls and subclasses of layers are included; with the
formulas of the operations that it lacks.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nisp.pruning.inputs import Inputs, called, checked_inputs, copied_inputs, in_precision, part, precision_of
from nisp.pruning.undisturbed import undisturbed
from nisp.pruning.wrappers import unwrapped

Shape = Sequence[int]


@torch.no_grad()
def macs(model: nn.Module, example: Inputs) -> int:
    """Multiply-accumulates per input in eval mode; ``example``: inputs of shape (1, ...).

    Additions, norms, activations and pools are not counted.
    """
    model = unwrapped(model)
    example = in_precision(part(checked_inputs(example), 0, 1), precision_of(model))
    with undisturbed(model), counting() as counter:
        called(model, copied_inputs(example))
    return counter.get_total_flops() // 2


def params(model: nn.Module) -> int:
    """Number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


@contextlib.contextmanager
def counting() -> Iterator[FlopCounterMode]:
    """In the block, count floating-point operations: two per multiply-accumulate.

    Attention runs as its separate products: torch's fused layers for inference hide them from the counter.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False, custom_mapping=formulas()) as counter:
            yield counter
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def formulas() -> dict[Any, Callable[..., int]]:
    """Operation that torch's counter lacks -> its floating-point operations, from the shapes of its arguments."""
    aten = torch.ops.aten
    found: dict[Any, Callable[..., int]] = {
        aten.mv: _matrix_vector,
        aten.addmv: lambda _, matrix, vector, **__: _matrix_vector(matrix, vector),
        aten.dot: _matrix_vector,
        aten.vdot: _matrix_vector,
        aten.addbmm: lambda _, first, second, **__: 2 * math.prod(first) * second[-1],
        aten._trilinear: _bilinear,
        aten.mkldnn_rnn_layer: lambda inputs, *rest, **_: _recurrent(inputs, rest[:2]),
        aten._cudnn_rnn: lambda inputs, weights, *_, **__: _recurrent(inputs, weights),
    }
    if hasattr(torch.ops.torchvision, "deform_conv2d"):
        found[torch.ops.torchvision.deform_conv2d] = _deformable
    return found


def _matrix_vector(matrix: Shape, _: Shape, **__: object) -> int:
    return 2 * math.prod(matrix)


def _bilinear(first: Shape, weight: Shape, *_: object, **__: object) -> int:
    """Every weight (out, in1, in2) multiplies once per row of the first input."""
    return 2 * first[0] * math.prod(weight)


def _recurrent(inputs: Shape, weights: Sequence[Shape], **__: object) -> int:
    """Every weight of a matrix multiplies once per step and sequence."""
    return 2 * math.prod(inputs[:-1]) * sum(math.prod(shape) for shape in weights if len(shape) == 2)


def _deformable(_: Shape, weight: Shape, *__: object, out_shape: Shape, **___: object) -> int:
    return 2 * math.prod(out_shape) * math.prod(weight[1:])
