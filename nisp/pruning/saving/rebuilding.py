"""Rebuilding a network from its description (nisp.pruning.saving.structure), without calling any of its constructors.

The description is not trusted: everything in it is checked before use.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from nisp.pruning.saving.import_paths import ALLOWED, find_class, find_function
from nisp.pruning.saving.plain_values import Enum, Fault, from_json
from nisp.pruning.saving.structure import BOOKKEEPING, derived, overrides

MODULE = {"class": str, "attributes": dict, "modules": dict, "parameters": dict, "buffers": dict, "unsaved": list}
TENSOR = {"parameter": bool, "requires_grad": bool, "order": list | None}


def check_fields(content: Any, kinds: Mapping[str, Any], where: str) -> None:
    """Fault unless ``content`` is an object with exactly the keys of ``kinds``, and values of those types."""
    if not isinstance(content, dict):
        raise Fault(f"{where} is not an object")
    for key in content.keys() ^ kinds.keys():
        raise Fault(f"{where} has the unknown key '{key}'" if key in content else f"{where} lacks '{key}'")
    for key, kind in kinds.items():
        if not isinstance(content[key], kind) or (kind is not bool and isinstance(content[key], bool)):
            raise Fault(f"'{key}' of {where} has the wrong type: {type(content[key]).__name__}")


def rebuild(
    modules: Sequence[Any],
    described: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    allowed: Sequence[str] = ALLOWED,
) -> nn.Module:
    """The network, in eval mode.

    modules, described  "modules" and "tensors" of its description
    tensors             name -> values
    allowed             see nisp.pruning.saving.import_paths

    Fault if the description is wrong or does not fit the tensors; UserError if a class or function is not found.
    """
    return _Network(modules, described, tensors, allowed).rebuilt()


class _Network:
    """The modules and tensors of a network, to be assembled."""

    def __init__(
        self,
        modules: Sequence[Any],
        described: Mapping[str, Any],
        tensors: Mapping[str, Tensor],
        allowed: Sequence[str],
    ) -> None:
        for position, entry in enumerate(modules):
            check_fields(entry, MODULE, f"module {position}")
        if not modules:
            raise Fault("it has no modules")
        for name in described.keys() ^ tensors.keys():
            raise Fault(f"the tensor '{name}' is only in the {'description' if name in described else 'weights'}")
        self.entries, self.allowed = modules, allowed
        self.modules = [_empty(find_class(entry["class"], allowed)) for entry in modules]
        self.defining = {type(module).__module__ for module in self.modules}
        self.tensors = {name: _tensor(tensors[name], described[name], name) for name in tensors}

    def rebuilt(self) -> nn.Module:
        for position, (module, entry) in enumerate(zip(self.modules, self.entries, strict=True)):
            try:
                self._fill(module, entry)
            except Fault as fault:
                raise Fault(f"module {position}, {entry['class']}: {fault}") from None
        if len(set(self.modules[0].modules())) < len(self.modules):
            raise Fault("it has modules outside the network")
        return self.modules[0]

    def _fill(self, module: nn.Module, entry: dict[str, Any]) -> None:
        for key, value in entry["attributes"].items():
            if key in BOOKKEEPING or key.startswith("__") or key in derived(module) or overrides(type(module), key):
                raise Fault(f"the attribute '{key}' may not be set")
            vars(module)[key] = from_json(value, self._resolve)
        for key, position in entry["modules"].items():
            module._modules[_leaf(key)] = None if position is None else self._resolve("module", position)
        for key, name in entry["parameters"].items():
            parameter = None if name is None else self._resolve("tensor", name)
            if not isinstance(parameter, nn.Parameter | None):
                raise Fault(f"'{name}' is not a parameter")
            module._parameters[_leaf(key)] = parameter
        for key, name in entry["buffers"].items():
            module._buffers[_leaf(key)] = None if name is None else self._resolve("tensor", name)
        if any(name not in module._buffers for name in map(str, entry["unsaved"])):
            raise Fault("'unsaved' names a buffer that it does not have")
        module._non_persistent_buffers_set.update(entry["unsaved"])
        if isinstance(module, nn.RNNBase):
            _set_flat_weights(module)

    def _resolve(self, tag: str, content: Any) -> Any:
        """The module, tensor, class or function that a description refers to."""
        if tag == "module" and type(content) is int and 0 <= content < len(self.modules):
            return self.modules[content]
        if tag in ("tensor", "class", "enumeration", "function") and isinstance(content, str):
            if tag == "tensor" and content in self.tensors:
                return self.tensors[content]
            if tag == "class":
                return find_class(content, self.allowed)
            if tag == "enumeration":
                return find_class(content, self.allowed, Enum)
            if tag == "function":
                return find_function(content, self.allowed, self.defining)
        raise Fault(f"there is no {tag} {content!r}")


def _empty(kind: type) -> nn.Module:
    """A module without content; ``object.__new__`` runs no code of the class."""
    module: nn.Module = object.__new__(kind)
    nn.Module.__init__(module)
    vars(module)["training"] = False
    return module


def _leaf(name: str) -> str:
    if not name or "." in name:
        raise Fault(f"'{name}' cannot name a module, parameter or buffer")
    return name


def _tensor(values: Tensor, described: Any, name: str) -> Tensor:
    """A parameter or buffer, with its dimensions in their original order in memory."""
    check_fields(described, TENSOR, f"the tensor '{name}'")
    order, needs_grad = described["order"], described["requires_grad"]
    if needs_grad and not (values.is_floating_point() or values.is_complex()):
        raise Fault(f"the tensor '{name}' is {values.dtype}, which has no gradients")
    if order is not None:
        if sorted(map(repr, order)) != sorted(map(repr, range(values.dim()))):
            raise Fault(f"{order} is not an order of the {values.dim()} dimensions of '{name}'")
        values = values.permute(order).contiguous().permute([order.index(dim) for dim in range(values.dim())])
    else:
        values = values.clone()  # aligned like torch's own tensors: alignment changes the order of vectorised sums
    return nn.Parameter(values, needs_grad) if described["parameter"] else values.requires_grad_(needs_grad)


def _set_flat_weights(module: nn.RNNBase) -> None:
    try:
        module._init_flat_weights()
    except Exception as error:
        raise Fault(f"its weights are incomplete: {error}") from None
