"""Computes a batch in parts if it does not fit in memory."""

import sys
from collections.abc import Callable, Iterable
from functools import cache

import torch
from torch import Tensor

from nisp.pruning.memory import in_batches


def in_halves(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``function`` of a batch, rows in order; of its halves, concatenated, if the whole does not fit in memory."""
    parts = list(in_batches(function, images, len(images)))
    if len(parts) > 1:
        tell_of_parts("evaluated")
    return torch.cat(parts)


class Kept:
    """Copies of some tensors, for an attempt that may fail half-way; made in as few operations as possible."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = list(tensors)
        self.copies = [tensor.clone() for tensor in self.tensors]

    def keep(self) -> None:
        """Copy the values that the tensors have now."""
        if self.tensors:
            torch._foreach_copy_(self.copies, self.tensors)

    def restore(self) -> None:
        """Give the tensors the values that were kept."""
        if self.tensors:
            torch._foreach_copy_(self.tensors, self.copies)


@cache
def tell_of_parts(done: str) -> None:
    """Report, once per job, that whole batches do not fit in memory."""
    print(f"out of memory: batches are {done} in parts that fit", file=sys.stderr)
