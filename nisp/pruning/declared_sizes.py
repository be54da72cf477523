"""Attributes by which libraries declare how many channels a module has, brought up to date after pruning.

The conventions, none of which needs the library to be installed:

    in_features, in_channels, ...     width of a module's input
    out_features, out_channels, ...   width of its output: torchvision's blocks and detection backbones, timm's blocks
    num_features, head_hidden_size    timm's networks and heads: width of what ``forward_features`` returns, or of what
                                      the classifier reads; ``reset_classifier`` builds new classifiers by them
    feature_info                      timm: width of the output of each module that it names

A number is changed only where it was the width of such a tensor in the unpruned network; what the width is now, a pass
through the pruned network tells.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from nisp.pruning.contract import evaluating

INPUT = ("in_features", "in_channels", "in_chs", "in_dim", "in_planes", "inplanes")
OUTPUT = ("out_features", "out_channels", "out_chs", "out_dim", "out_planes", "num_chs", "num_channels")
FEATURES = {
    **dict.fromkeys(("num_features", "embed_dim", "num_pooled_features"), ("features", "classifier", "output")),
    **dict.fromkeys(("head_hidden_size", "hidden_size"), ("classifier", "features", "output")),
}
"""Attribute -> the tensors that may have as many channels, the likeliest first."""

_TOLD = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._NormBase)
"""Layers whose size attributes surgery sets by their weights."""

Shapes = list[tuple[int, ...]]


@torch.no_grad()
def update_declared_sizes(model: nn.Module, pruned: nn.Module, run: Callable[[nn.Module], object]) -> None:
    """Set the attributes of ``pruned``, in place, that declare numbers of channels; ``model`` is the original.

    ``run`` calls a network on its example; it is given copies, so neither network keeps anything of the passes.
    """
    declared = {name: declarations for name, module in model.named_modules() if (declarations := _declared(module))}
    if not declared:
        return
    before, after = (_Widths.of(copy.deepcopy(network), declared, run) for network in (model, pruned))
    for name, declarations in declared.items():
        for declaration in declarations:
            width = _now(declaration, before.seen[name], after.seen[name])
            if width is not None:
                declaration.set(pruned.get_submodule(name), width)


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
            _entries(module)[self.entry][self.attribute] = width


def _declared(module: nn.Module) -> list[_Declaration]:
    if isinstance(module, (*_TOLD, torch.jit.ScriptModule)):
        return []
    numbers = {name: value for name, value in vars(module).items() if type(value) is int and value > 0}
    found = [_Declaration(name, numbers[name], ("input",)) for name in INPUT if name in numbers]
    found += [_Declaration(name, numbers[name], ("output",)) for name in OUTPUT if name in numbers]
    found += [_Declaration(name, numbers[name], FEATURES[name]) for name in FEATURES if name in numbers]
    for index, entry in enumerate(_entries(module)):
        if type(entry.get("num_chs")) is int:
            found.append(_Declaration("num_chs", entry["num_chs"], (f"feature {index}",), index))
    return found


def _entries(module: nn.Module) -> Sequence[dict[str, Any]]:
    """timm's list of features: itself, or kept in an object's ``info``."""
    listed = vars(module).get("feature_info")
    listed = getattr(listed, "info", listed)
    fits = isinstance(listed, list | tuple) and all(isinstance(entry, dict) and "module" in entry for entry in listed)
    return listed if fits else ()


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


@dataclass(frozen=True)
class _Widths:
    """Module name -> what is read or written there (as in _Declaration.tensors) -> shapes."""

    seen: dict[str, dict[str, Shapes]] = field(default_factory=dict)

    @staticmethod
    def of(network: nn.Module, declared: Mapping[str, Any], run: Callable[[nn.Module], object]) -> "_Widths":
        widths = _Widths({name: {} for name in declared})
        with evaluating(network), contextlib.ExitStack() as hooks:
            for name in declared:
                for handle in widths._listening(name, network.get_submodule(name)):
                    hooks.callback(handle.remove)
            run(network)
        return widths

    def _listening(self, name: str, module: nn.Module) -> Iterator[Any]:
        yield module.register_forward_hook(partial(self._note, name, "input", "output"), with_kwargs=True)
        classifier = _classifier(module)
        if classifier is not None:
            yield classifier.register_forward_hook(partial(self._note, name, "classifier", None), with_kwargs=True)
        if callable(getattr(module, "forward_features", None)):
            module.forward_features = self._features(name, module.forward_features)  # type: ignore[assignment]
        for index, entry in enumerate(_entries(module)):
            place = _place(module, str(entry["module"]))
            if place is not None:
                kinds = (f"feature {index}", None)  # of what the module reads, and of what it writes
                kinds = kinds if entry.get("hook_type") == "forward_pre" else kinds[::-1]
                yield place.register_forward_hook(partial(self._note, name, *kinds), with_kwargs=True)

    def _note(
        self, name: str, read: str | None, written: str | None, _: nn.Module, args: Any, kwargs: Any, output: Any
    ) -> None:
        for kind, values in ((read, (args, kwargs)), (written, output)):
            if kind is not None:
                self._add(name, kind, values)

    def _add(self, name: str, kind: str, values: object) -> None:
        shapes = [tuple(leaf.shape) for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
        self.seen[name].setdefault(kind, []).extend(shapes)

    def _features(self, name: str, forward_features: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            features = forward_features(*args, **kwargs)
            self._add(name, "features", features)
            return features

        return noted


def _classifier(module: nn.Module) -> nn.Module | None:
    """What timm's ``get_classifier`` returns, or else a head's last layer."""
    if callable(getattr(module, "get_classifier", None)):
        found = module.get_classifier()
        found = next(iter(found), None) if isinstance(found, tuple | list | nn.ModuleList) else found
        return found if isinstance(found, nn.Module) else None
    return next((part for name, part in module.named_children() if name in ("fc", "classifier", "l")), None)


def _place(module: nn.Module, name: str) -> nn.Module | None:
    """The part of a network that ``feature_info`` names; networks of features alone rename or wrap it."""
    modules = dict(module.named_modules())
    return next((modules[n] for n in (name, name.replace(".", "_"), f"model.{name}") if n in modules), None)
