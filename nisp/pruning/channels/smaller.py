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
    it, are told their number of channels.
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
        for (name, _), kept in left.items():
            norm = names.owners[name]
            if isinstance(norm, nn.modules.batchnorm._NormBase):
                whole.append((vars(norm), "num_features", norm.num_features))
                norm.num_features = int(kept.sum())
        yield
    finally:
        for holder, leaf, value in reversed(whole):
            holder[leaf] = value
        for tensor in slices.values():
            names.forget(tensor)


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
