"""Computes a batch in parts if it does not fit in a GPU's memory."""

import sys
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


def in_halves(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``function`` of a batch, rows in order; of its halves, concatenated, if the whole does not fit in memory."""
    try:
        return function(images)
    except torch.OutOfMemoryError:
        if len(images) == 1:
            raise
    tell_of_parts("evaluated")
    return torch.cat([in_halves(function, half) for half in images.tensor_split(2)])


@cache
def tell_of_parts(done: str) -> None:
    """Report, once per job, that whole batches do not fit in memory."""
    print(f"out of memory: batches are {done} in parts that fit", file=sys.stderr)
