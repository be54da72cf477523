"""Names of a network's tensors, and the attributes that hold the sizes that it splits activations into."""

from collections import defaultdict
from typing import Any

from torch import Tensor, nn

from nisp.pruning.layer_weights import LAYERS

WeightAxis = tuple[str, int]
"""Name of a parameter or buffer, and one of its dimensions."""

Holder = tuple[str, str]
"""Name of a module, and name of its attribute that holds sizes."""


class Names:
    """Parameters, buffers and sizes of one network, by identity.

    twins   name of a tensor -> all of its names; several where modules share it
    owners  any name of a tensor -> the module that it belongs to
    layer_weights  names of the weights of convolution and linear layers
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
        self.layer_weights = self._weights()
        self._holders = _holders_of_sizes(model)

    def of(self, tensor: Any) -> str | None:
        """Name of a parameter or buffer; None for anything else."""
        return self._names.get(id(tensor))

    def _weights(self) -> set[str]:
        return {name for name in self.twins if isinstance(self.owners[name], LAYERS) and name.endswith("weight")}

    def stands_for(self, tensor: Tensor, name: str) -> None:
        """From now on, ``name`` is also the name of ``tensor``."""
        self._names[id(tensor)] = name

    def forget(self, tensor: Tensor) -> None:
        """Undo `stands_for`."""
        del self._names[id(tensor)]

    def reads_along(self, name: str, dim: int) -> bool:
        """Whether the layer that this weight belongs to reads its inputs along ``dim``."""
        transposed = isinstance(self.owners[name], nn.modules.conv._ConvTransposeNd)
        return name in self.layer_weights and dim == (0 if transposed else 1)

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
