"""The same network pruned by half by torch-pruning's own pruner, for comparison.

As in its documentation and example scripts: magnitude importance, the classifier ignored, the number of heads of fused
attention given, and set again after pruning; torchvision's VisionTransformer rounded to its number of heads. All other
settings are its defaults.
"""

from typing import Any

import torch
from torch import nn

from benchmarks.coverage.calls import finite, first, shapes
from benchmarks.coverage.record import Record
from benchmarks.coverage.zoo import Subject
from nisp.pruning.inputs import called

FUSED = ("qkv", "qkv_proj")


def check(subject: Subject, record: Record) -> None:
    """Note whether the pruned network has fewer parameters and runs (column torch_pruning)."""
    record.update(torch_pruning=False)
    with record.stage("build"):
        import torch_pruning as tp

        model, inputs = subject.network(), subject.inputs()
        before = _size(model)
    with record.stage("forward of the original"), torch.no_grad():
        before_shapes = shapes(called(model, inputs))
    with record.stage("prune"):
        heads = _heads(model)
        pruner = tp.pruner.BasePruner(
            model,
            first(inputs),
            importance=tp.importance.MagnitudeImportance(),
            pruning_ratio=0.5,
            ignored_layers=subject.output_layers(model),
            num_heads={layer: module.num_heads for module, layer in heads},
            round_to=_rounding(model),
        )
        pruner.step()
        for module, layer in heads:
            _set_heads(module, layer, pruner.num_heads[layer])
        if hasattr(model, "hidden_dim") and hasattr(model, "conv_proj"):
            model.hidden_dim = model.conv_proj.out_channels
    with record.stage("forward"), torch.no_grad():
        outputs = called(model, inputs)
    with record.stage("outcome"):
        if _size(model) >= before:
            raise ValueError("no parameter was removed")
        if shapes(outputs) != before_shapes or not finite(outputs):
            raise ValueError(f"the outputs have shape {', '.join(map(str, shapes(outputs)))}, or are not finite")
    record.update(torch_pruning=True, params_left=_size(model) / before)


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _heads(model: nn.Module) -> list[tuple[Any, nn.Module]]:
    """Attention modules with the fused layer that makes queries, keys and values."""
    return [
        (module, getattr(module, name))
        for module in model.modules()
        for name in FUSED
        if isinstance(getattr(module, "num_heads", None), int) and isinstance(getattr(module, name, None), nn.Linear)
    ]


def _rounding(model: nn.Module) -> int | None:
    """Heads of torchvision's VisionTransformer, whose attention is not fused."""
    attention = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    return attention[0].num_heads if attention and hasattr(model, "conv_proj") else None


def _set_heads(module: Any, layer: Any, heads: int) -> None:
    module.num_heads = heads
    module.head_dim = layer.out_features // (3 * heads)
    if hasattr(module, "attn_dim"):
        module.attn_dim = heads * module.head_dim
