"""The changes that pruning made to a network, as data: finding them, and applying them to a newly built original.

These are the plain attributes of modules (out_channels, num_heads, normalized_shape, ...) and the tensors, for any
kind of layer and any way of pruning.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.saving.layer_shapes import check_shapes, misfit

Attributes = dict[str, dict[str, Any]]
"""Module name -> attribute name -> value: numbers, strings, None, and lists and dictionaries of them."""


FEATURES = "feature_info.info"


def changed_attributes(original: nn.Module, pruned: nn.Module) -> Attributes:
    """The plain attributes whose values differ in ``pruned``, except ``training``.

    UserError if the two networks do not have the same modules.
    """
    before, after = dict(original.named_modules()), dict(pruned.named_modules())
    strange = [name for name in [*before, *after] if type(before.get(name)) is not type(after.get(name))]
    if strange:
        raise UserError(f"the pruned network and its original have different modules '{strange[0]}'")
    changed: Attributes = defaultdict(dict)
    for name, module in before.items():
        now = _values(after[name])
        for key, value in _values(module).items():
            if key != "training" and _plain(value) and _plain(now.get(key)) and now.get(key) != value:
                changed[name][key] = _listed(now.get(key))
    return dict(changed)


def _values(module: nn.Module) -> dict[str, Any]:
    """A module's attributes, and the list in timm's object FeatureInfo, which is not plain data itself."""
    inner = getattr(vars(module).get("feature_info"), "info", None)
    return vars(module) if inner is None else {**vars(module), FEATURES: inner}


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


def _like(value: Any, own: Any) -> Any:
    """``value`` with tuples where ``own``, the value that it replaces, has them."""
    if isinstance(value, dict) and isinstance(own, dict):
        return {key: _like(item, own.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(own, list) and len(value) == len(own):
        return [_like(item, old) for item, old in zip(value, own, strict=True)]
    return _tupled(value) if isinstance(own, tuple) else value


def named_tensors(model: nn.Module, every_name: bool = False) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, including those not in the state dict; tied ones once, or under every name."""
    yield from model.named_parameters(remove_duplicate=not every_name)
    yield from model.named_buffers(remove_duplicate=not every_name)


def _names(model: nn.Module) -> list[list[str]]:
    """All names of each parameter and buffer."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, tensor in named_tensors(model, every_name=True):
        names[id(tensor)].append(name)
    return list(names.values())


def check_names(model: nn.Module, tensors: Mapping[str, Tensor], what: object) -> None:
    """UserError, which names ``what``, unless ``tensors`` are the network's, each under at least one of its names."""
    names = _names(model)
    unknown = sorted(tensors.keys() - {name for tied in names for name in tied})
    missing = [tied[0] for tied in names if not tensors.keys() & set(tied)]
    if unknown or missing:
        fault = f"'{unknown[0]}' is not one of the network's" if unknown else f"'{missing[0]}' is missing"
        raise UserError(f"the tensors of {what} do not fit the network: {fault}")


def set_attributes(model: nn.Module, attributes: Attributes, what: object) -> None:
    """Set plain attributes that exist already, and nothing else, so that a file cannot replace code.

    UserError, which names ``what``, for any other attribute.
    """
    modules = dict(model.named_modules())
    for name, values in attributes.items():
        own = _values(modules[name]) if name in modules else {}
        for key, value in values.items():
            if not (key in own and _plain(own[key]) and _plain(value)):
                raise UserError(f"{what} sets '{key}' of the module '{name}', which has no such attribute")
            holder, _, attribute = key.rpartition(".") if key == FEATURES else ("", "", key)
            setattr(getattr(modules[name], holder) if holder else modules[name], attribute, _like(value, own[key]))


def set_tensors(model: nn.Module, tensors: Mapping[str, Tensor], what: object) -> None:
    """Replace the network's tensors by ``tensors``; tied ones stay tied if only one of their names is given.

    UserError, which names ``what``, if the names differ, or if a tensor has the wrong kind or shape for its layer.
    """
    check_names(model, tensors, what)
    for tied in _names(model):
        shared = next(name for name in tied if name in tensors)
        made: dict[str, Tensor] = {}
        for name in tied:
            owner, _, leaf = name.rpartition(".")
            module = model.get_submodule(owner)
            old, new = getattr(module, leaf), tensors.get(name, tensors[shared])
            if new.dim() != old.dim() or new.is_floating_point() != old.is_floating_point():
                raise misfit(what, name, _kind(new), _kind(old))
            source = name if name in tensors else shared
            if isinstance(old, nn.Parameter):
                new = made.setdefault(source, nn.Parameter(new, requires_grad=old.requires_grad))
            setattr(module, leaf, new)
    check_shapes(model, what)


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"
