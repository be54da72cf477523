"""Which groups of channels cannot be removed exactly, found by removing some and comparing outputs.

The pass on channel ids does not see everything: a network may compute with an attribute that says how many channels
there are. Then the pruned network differs from the masked one, and the groups at fault are found by halving.
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.inputs import Inputs
from nisp.pruning.surgery import Anatomy, cut_channels, removal_error


def inexact_groups(
    model: nn.Module, structure: Anatomy, kept: Mapping[str, Tensor], images: Inputs, tolerance: float
) -> list[str]:
    """Names of groups without which the removal error is at most ``tolerance``; as few as halving finds.

    kept  group name -> indices of the channels to keep. A group that loses none is never at fault

    Two runs of the network for every half: two if all is exact, about ``4 log2(groups)`` for one group at fault.
    """

    def search(names: list[str]) -> list[str]:
        if not names or _is_exact(model, only(structure, names), kept, images, tolerance):
            return []
        if len(names) == 1:
            return names
        middle = len(names) // 2
        found = [*search(names[:middle]), *search(names[middle:])]
        left = [name for name in names if name not in found]
        if _is_exact(model, only(structure, left), kept, images, tolerance):
            return found
        return names  # the groups disturb one another

    return search([name for name, size in structure.sizes.items() if len(kept[name]) < size])


def only(structure: Anatomy, names: list[str]) -> Anatomy:
    """The same network, of which only the groups ``names`` can be pruned."""
    return replace(
        structure,
        groups=tuple(group for group in structure.groups if group.name in names),
        labels={name: labels for name, labels in structure.labels.items() if name in names},
    )


def _is_exact(
    model: nn.Module, structure: Anatomy, kept: Mapping[str, Tensor], images: Inputs, tolerance: float
) -> bool:
    left = {group.name: kept[group.name] for group in structure.groups}
    try:
        pruned = cut_channels(model, structure, left)
        return removal_error(model, pruned, structure, left, images) <= tolerance
    except (UserError, RuntimeError, ValueError, IndexError, TypeError, KeyError):  # it does not run at all
        return False
