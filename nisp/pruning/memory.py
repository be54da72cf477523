"""Running out of memory: recognised by one predicate, and met with smaller batches."""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from nisp.pruning.inputs import Inputs, count, part

T = TypeVar("T")

SIGNS = (
    "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "not enough memory", "can't allocate memory",
)  # fmt: skip
"""In the messages of errors that are not torch.OutOfMemoryError: of CUDA's libraries, and of torch on a CPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory does not suffice, on a GPU or on a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def in_batches(function: Callable[[Any], T], inputs: Inputs, size: int) -> Iterator[T]:
    """``function`` of all images in order, at most ``size`` at a time; of fewer once so many do not fit in memory.

    A batch that failed is computed again, so ``function`` must leave nothing behind when it raises an error.
    """
    start, total = 0, count(inputs)
    while start < total:
        stop = min(start + size, total)
        try:
            result = function(part(inputs, start, stop))
        except Exception as error:
            if stop - start == 1 or not is_out_of_memory(error):
                raise
            size = math.ceil((stop - start) / 2)
        else:
            yield result
            start = stop
            continue
        give_back()  # outside the handler, whose error keeps the tensors of the attempt


def give_back() -> None:
    """Give the memory that torch keeps for later back to the GPU, where CUDA's libraries look for theirs."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
