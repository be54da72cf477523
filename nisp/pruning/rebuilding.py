"""What surgery changed in a network, as data: finding it, and putting it into a freshly built original.

That is the plain attributes of modules (out_channels, num_heads, normalized_shape, ...) and the tensors. It makes no
difference how the network was pruned, nor which layers there are.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from nisp.errors import UserError

Attributes = dict[str, dict[str, Any]]
"""Module name -> attribute name -> value: numbers, strings, None, and lists of them."""


def changed_attributes(original: nn.Module, pruned: nn.Module) -> Attributes:
    """The plain attributes whose values in ``pruned`` are others; whether it is in training mode is left out.

    UserError if it has not the same modules.
    """
    before, after = dict(original.named_modules()), dict(pruned.named_modules())
    strange = [name for name in [*before, *after] if type(before.get(name)) is not type(after.get(name))]
    if strange:
        raise UserError(f"the pruned network and its original have different modules '{strange[0]}'")
    changed: Attributes = defaultdict(dict)
    for name, module in before.items():
        now = vars(after[name])
        for key, value in vars(module).items():
            if key != "training" and _plain(value) and _plain(now.get(key)) and now.get(key) != value:
                changed[name][key] = _listed(now.get(key))
    return dict(changed)


def _plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


def named_tensors(model: nn.Module, every_name: bool = False) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers; tied ones once, or under every name.

    Buffers that the state dict leaves out are among them: their shapes may have changed too.
    """
    yield from model.named_parameters(remove_duplicate=not every_name)
    yield from model.named_buffers(remove_duplicate=not every_name)


def _names(model: nn.Module) -> list[list[str]]:
    """All names of each parameter and buffer."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, tensor in named_tensors(model, every_name=True):
        names[id(tensor)].append(name)
    return list(names.values())


def check_names(model: nn.Module, tensors: Mapping[str, Tensor], what: object) -> None:
    """UserError that names ``what`` unless ``tensors`` has all of the network's, by one name each, and no others."""
    names = _names(model)
    unknown = sorted(tensors.keys() - {name for tied in names for name in tied})
    missing = [tied[0] for tied in names if not tensors.keys() & set(tied)]
    if unknown or missing:
        fault = f"'{unknown[0]}' is not one of the network's" if unknown else f"'{missing[0]}' is missing"
        raise UserError(f"the tensors of {what} do not fit the network: {fault}")


def set_attributes(model: nn.Module, attributes: Attributes, what: object) -> None:
    """Set plain attributes that are there already; nothing else, so that a file cannot replace what runs.

    UserError that names ``what`` for any other.
    """
    modules = dict(model.named_modules())
    for name, values in attributes.items():
        own = vars(modules[name]) if name in modules else {}
        for key, value in values.items():
            if not (key in own and _plain(own[key]) and _plain(value)):
                raise UserError(f"{what} sets '{key}' of the module '{name}', which has no such attribute")
            setattr(modules[name], key, _tupled(value) if isinstance(own[key], tuple) else value)


def set_tensors(model: nn.Module, tensors: Mapping[str, Tensor], what: object) -> None:
    """Put ``tensors`` in the place of the network's own; tied ones stay tied where only one of their names is given.

    UserError that names ``what`` if they are not just the network's, or have the wrong kind or shape for their layer.
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
                raise _misfit(what, name, _kind(new), _kind(old))
            source = name if name in tensors else shared
            if isinstance(old, nn.Parameter):
                new = made.setdefault(source, nn.Parameter(new, requires_grad=old.requires_grad))
            setattr(module, leaf, new)
    _check_shapes(model, what)


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"


def _misfit(what: object, name: str, given: str, wanted: str) -> UserError:
    return UserError(f"the tensors of {what} do not fit the network: '{name}' is {given}, it needs {wanted}")


def _check_shapes(model: nn.Module, what: object) -> None:
    """What the common layers say of themselves is what their weights are."""
    for name, module in model.named_modules():
        weight, expected = getattr(module, "weight", None), _weight_shape(module)
        if isinstance(weight, Tensor) and expected is not None and tuple(weight.shape) != expected:
            raise _misfit(what, f"{name}.weight", f"of shape {tuple(weight.shape)}", f"{expected}")


def _weight_shape(module: nn.Module) -> tuple[int, ...] | None:
    match module:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return (module.out_channels, module.in_channels // module.groups, *module.kernel_size)
        case nn.Linear():
            return (module.out_features, module.in_features)
        case nn.modules.batchnorm._BatchNorm():
            return (module.num_features,)
        case nn.LayerNorm():
            return tuple(module.normalized_shape)
        case nn.GroupNorm():
            return (module.num_channels,)
    return None
