"""What is done when a GPU's memory is too small for a batch: the batch is computed in parts."""

import sys
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


def in_halves(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``function`` of a batch, rows in order; of its halves, put together, where memory is too small for the whole."""
    try:
        return function(images)
    except torch.OutOfMemoryError:
        if len(images) == 1:
            raise
    tell_of_parts("evaluated")
    return torch.cat([in_halves(function, half) for half in images.tensor_split(2)])


@cache
def tell_of_parts(done: str) -> None:
    """Tell, once a job, that memory is too small for whole batches."""
    print(f"out of memory: batches are {done} in parts that fit", file=sys.stderr)
