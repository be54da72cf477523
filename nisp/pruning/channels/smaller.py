"""A network in which some parameters already have the sizes that pruning leaves of them."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from nisp.pruning.channels.names import Names, WeightAxis


@contextlib.contextmanager
def smaller(names: Names, left: Mapping[WeightAxis, np.ndarray], used: Collection[str]) -> Iterator[None]:
    """While open, the parameters and buffers called ``used`` are as small as ``left`` says, bool per index of each.

    Only their sizes matter to a pass on ids, so each is a slice of the whole. Batch and instance norms, which may check
    it, are told their number of channels, and depthwise convolutions their number of groups.
    """
    whole: list[tuple[dict[str, Any], str, Any]] = []
    slices = {name: tensor for name in used if (tensor := _left_of(names, name, left)) is not None}
    try:
        for name, tensor in slices.items():
            names.stands_for(tensor, name)
            for twin in names.twins[name]:
                owner, leaf = names.owners[twin], twin.rpartition(".")[2]
                holder: dict[str, Any] = owner._parameters if leaf in owner._parameters else owner._buffers
                whole.append((holder, leaf, holder[leaf]))
                holder[leaf] = tensor
        for (name, dim), kept in left.items():
            owner = names.owners[name]
            if isinstance(owner, nn.modules.batchnorm._NormBase):
                whole.append((vars(owner), "num_features", owner.num_features))
                owner.num_features = int(kept.sum())
            elif dim == 0 and name in names.layer_weights and _is_depthwise(owner):
                whole.append((vars(owner), "groups", owner.groups))
                vars(owner)["groups"] = vars(owner)["groups"] * int(kept.sum()) // len(kept)
        yield
    finally:
        for holder, leaf, value in reversed(whole):
            holder[leaf] = value
        for tensor in slices.values():
            names.forget(tensor)


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) and layer.groups == layer.in_channels > 1


def _left_of(names: Names, name: str, left: Mapping[WeightAxis, np.ndarray]) -> Tensor | None:
    """A parameter or buffer of the size that is left of it; None if all is left."""
    whole: Tensor = getattr(names.owners[name], name.rpartition(".")[2])
    tensor = whole.detach()
    for dim in range(whole.dim()):
        if (name, dim) in left:
            tensor = tensor.narrow(dim, 0, int(left[name, dim].sum()))
    if tensor.shape == whole.shape:
        return None
    return nn.Parameter(tensor, whole.requires_grad) if isinstance(whole, nn.Parameter) else tensor
