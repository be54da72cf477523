"""Checks which channels are to be kept, before anything is cut or silenced."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nisp.errors import UserError

if TYPE_CHECKING:
    from nisp.pruning.contract import Group

Indices = Tensor | Sequence[int]
"""Indices of channels: a tensor, an array or a list of integers."""


def checked_kept(groups: "Sequence[Group]", kept: Mapping[str, Indices]) -> dict[str, Tensor]:
    """Group name -> indices of its kept channels, ascending, on the CPU; groups that are not in ``kept`` are whole.

    UserError in one sentence, which names the group, if there is no such group, or for indices that are not integers,
    out of range or given twice, or none at all.
    """
    if not isinstance(kept, Mapping):
        raise UserError(f"kept is of class {type(kept).__name__}: give a dictionary, group name -> indices of channels")
    sizes = {group.name: group.channels for group in groups}
    for name in kept:
        if name not in sizes:
            raise UserError(f"channels are kept of {name!r}, which is not a group: there are {_listed(sizes)}")
    return {name: checked_indices(name, size, kept.get(name, range(size))) for name, size in sizes.items()}


def checked_indices(group: str, channels: int, kept: Any) -> Tensor:
    """The indices of a group's kept channels, shape (n,), ascending, on the CPU.

    UserError as for `checked_kept`; at least one of the group's ``channels`` must stay.
    """
    try:
        indices = torch.as_tensor(kept if isinstance(kept, Tensor) else list(kept)).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"the kept channels of '{group}' are no indices: {_shortened(kept)}") from None
    if indices.numel() == 0:
        raise UserError(f"no channel of '{group}' is kept: at least one must stay")
    if indices.dim() != 1 or indices.dtype == torch.bool or indices.is_floating_point() or indices.is_complex():
        kind = f"{str(indices.dtype).removeprefix('torch.')} of shape {tuple(indices.shape)}"
        raise UserError(f"the kept channels of '{group}' are {kind}: give their indices, integers in one dimension")
    indices = indices.long().sort().values
    outside = indices[(indices < 0) | (indices >= channels)]
    if len(outside):
        raise UserError(f"'{group}' has no channel {outside[0].item()}: its channels are 0 to {channels - 1}")
    twice = indices[1:][indices[1:] == indices[:-1]]
    if len(twice):
        raise UserError(f"channel {twice[0].item()} of '{group}' is given twice among those that are kept")
    return indices


def _listed(names: Mapping[str, int]) -> str:
    return f"{', '.join(list(names)[:8])}{', ...' if len(names) > 8 else ''}"


def _shortened(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}..."
