"""Names of a network's tensors, and the attributes that hold the sizes that it splits activations into."""

from collections import defaultdict
from typing import Any

from torch import Tensor, nn

WeightAxis = tuple[str, int]
"""Name of a parameter or buffer, and one of its dimensions."""

Holder = tuple[str, str]
"""Name of a module, and name of its attribute that holds sizes."""


class Names:
    """Parameters, buffers and sizes of one network, by identity.

    twins   name of a tensor -> all of its names; several where modules share it
    owners  any name of a tensor -> the module that it belongs to
    """

    def __init__(self, model: nn.Module) -> None:
        self._names: dict[int, str] = {}
        self.twins: dict[str, list[str]] = defaultdict(list)
        for name, tensor in [
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ]:
            self.twins[self._names.setdefault(id(tensor), name)].append(name)
        self.owners = {
            name: model.get_submodule(name.rpartition(".")[0]) for twins in self.twins.values() for name in twins
        }
        self._holders = _holders_of_sizes(model)

    def of(self, tensor: Any) -> str | None:
        """Name of a parameter or buffer; None for anything else."""
        return self._names.get(id(tensor))

    def weights(self) -> set[str]:
        """Names of the weights of convolution and linear layers."""
        kinds = (nn.Linear, nn.modules.conv._ConvNd)
        return {name for name in self.twins if isinstance(self.owners[name], kinds) and name.endswith("weight")}

    def axis_of(self, tensor: Tensor, dim: int) -> WeightAxis | None:
        """The parameter dimension behind ``dim`` of ``tensor``, if that is a parameter or a view in the same order."""
        source = tensor if self.of(tensor) else tensor._base
        name = self.of(source)
        if source is None or name is None:
            return None
        ours, theirs = ([d for d, size in enumerate(t.shape) if size != 1] for t in (tensor, source))
        if [tensor.size(d) for d in ours] != [source.size(d) for d in theirs]:
            return None
        return name, theirs[ours.index(dim % tensor.dim())]

    def holder_of(self, sizes: Any) -> Holder | None:
        """The attribute that holds this sizes object, or None."""
        return self._holders.get(id(sizes))


def _holders_of_sizes(model: nn.Module) -> dict[int, Holder]:
    """Identity of each sequence of integers that exactly one attribute of one module holds -> that attribute."""
    found: dict[int, Holder] = {}
    shared = set()
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, list | tuple) and len(value) > 1 and all(type(size) is int for size in value):
                if id(value) in found:
                    shared.add(id(value))
                found[id(value)] = name, attribute
    return {key: holder for key, holder in found.items() if key not in shared}
