"""What a comparison of responses yields: a constant, which the network must not branch on."""

from typing import Any

from torch import Tensor
from torch.overrides import resolve_name

from nisp.errors import UserError

READS: set[Any] = set()
"""Functions that give Python a tensor's values (filled by `nisp.rules`)."""

BRANCHES = "the network reads the value of a response, to branch on it or to compute outside PyTorch"


class Mask(Tensor):
    """A mask or an index; whatever is computed from masks and constants is one too.

    Tensors may be selected by it. But a branch that is taken, or a loop that is run, for one example says nothing about
    others, so a mask whose values Python reads ends in UserError.
    """

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS:
            raise UserError(f"NISP has no rule for the operation {resolve_name(func)}: {BRANCHES}")
        return super().__torch_function__(func, types, args, kwargs or {})
