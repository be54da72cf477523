"""Attributes by which libraries declare how many channels a module has, brought up to date after pruning.

The conventions, none of which needs the library to be installed:

    in_features, in_channels, ...     width of a module's input
    out_features, out_channels, ...   width of its output: torchvision's blocks and detection backbones, timm's blocks
    num_features, head_hidden_size    timm's networks and heads: width of what ``forward_features`` returns, or of what
                                      the classifier reads; ``reset_classifier`` builds new classifiers by them
    feature_info                      timm: width of the output of each module that it names

A number is changed only where it was the width of such a tensor in the unpruned network; what the width is now, a pass
through the pruned network tells. Numbers that the network computes with are left alone: one that its outputs depend on
is no declaration.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nisp.pruning.copies import copied
from nisp.pruning.widths import Run, Shapes, feature_entries, outputs_of, shapes_seen

INPUT = ("in_features", "in_channels", "in_chs", "in_dim", "in_planes", "inplanes")
OUTPUT = ("out_features", "out_channels", "out_chs", "out_dim", "out_planes", "num_chs", "num_channels")
FEATURES = {
    **dict.fromkeys(("num_features", "embed_dim", "num_pooled_features"), ("features", "classifier", "output")),
    **dict.fromkeys(("head_hidden_size", "hidden_size"), ("classifier", "features", "output")),
}
"""Attribute -> the tensors that may have as many channels, the likeliest first."""

_TOLD = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._NormBase)
"""Layers whose size attributes surgery sets by their weights."""


@torch.no_grad()
def update_declared_sizes(model: nn.Module, pruned: nn.Module, run: Run) -> None:
    """Set the attributes of ``pruned``, in place, that declare numbers of channels; ``model`` is the original.

    ``run`` calls a network on its example; it is given copies, so neither network keeps anything of the passes.
    """
    declared = {name: declarations for name, module in model.named_modules() if (declarations := _declared(module))}
    if not declared:
        return
    before, after = (shapes_seen(network, tuple(declared), run) for network in (model, pruned))
    changes: dict[object, list[_Change]] = defaultdict(list)
    for name, declarations in declared.items():
        for declaration in declarations:
            width = _now(declaration, before[name], after[name])
            if width is not None and width != declaration.value:
                kind = type(model.get_submodule(name)), declaration.attribute
                changes[kind].append((name, declaration, width))
    _make(pruned, changes, run)


def _make(pruned: nn.Module, changes: Mapping[object, list["_Change"]], run: Run) -> None:
    """Make the changes that do not change the outputs: all, or of each class and attribute those that do not alone."""
    if not changes:
        return
    outputs = outputs_of(pruned, run)

    def harmless(some: Iterable[_Change]) -> bool:
        changed = copied(pruned)
        for name, declaration, width in some:
            declaration.set(changed.get_submodule(name), width)
        try:
            return _equal(outputs_of(changed, run), outputs)
        except Exception:  # whatever a network raises whose sizes do not fit
            return False

    everything = [change for some in changes.values() for change in some]
    if not harmless(everything):
        everything = [change for some in changes.values() if harmless(some) for change in some]
        everything = everything if harmless(everything) else []
    for name, declaration, width in everything:
        declaration.set(pruned.get_submodule(name), width)


def _equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
        for a, b in zip(some, others, strict=True)
    )


@dataclass(frozen=True)
class _Declaration:
    """A number of channels that a module declares, and the tensors that may have as many, the likeliest first.

    entry  position in ``feature_info``; None for an attribute of the module
    """

    attribute: str
    value: int
    tensors: tuple[str, ...]
    entry: int | None = None

    def set(self, module: nn.Module, width: int) -> None:
        """Write ``width`` where the number was found."""
        if self.entry is None:
            setattr(module, self.attribute, width)
        else:
            feature_entries(module)[self.entry][self.attribute] = width


def _declared(module: nn.Module) -> list[_Declaration]:
    if isinstance(module, (*_TOLD, torch.jit.ScriptModule)):
        return []
    numbers = {name: value for name, value in vars(module).items() if type(value) is int and value > 0}
    found = [_Declaration(name, numbers[name], ("input",)) for name in INPUT if name in numbers]
    found += [_Declaration(name, numbers[name], ("output",)) for name in OUTPUT if name in numbers]
    found += [_Declaration(name, numbers[name], FEATURES[name]) for name in FEATURES if name in numbers]
    for index, entry in enumerate(feature_entries(module)):
        if type(entry.get("num_chs")) is int:
            found.append(_Declaration("num_chs", entry["num_chs"], (f"feature {index}",), index))
    return found


_Change = tuple[str, _Declaration, int]
"""Module name, what it declares, and the number of channels now."""


def _now(declaration: _Declaration, before: Mapping[str, Shapes], after: Mapping[str, Shapes]) -> int | None:
    """The number of channels now; None if no tensor had as many before.

    The batch, positions and other sizes that are as large by chance do not change, so a size that changed counts.
    """
    for tensor in declaration.tensors:
        pairs = [
            (old, new)
            for one, other in zip(before.get(tensor, ()), after.get(tensor, ()), strict=False)
            for old, new in list(zip(one, other, strict=False))[1:]
            if old == declaration.value
        ]
        if pairs:
            return next((new for old, new in pairs if new != old), declaration.value)
    return None
