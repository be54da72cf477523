"""Keeps the memory of activations between the steps of a training."""

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of glibc's mallopt."""

LARGEST = 2**30
"""Bytes of the largest tensor that stays on the heap."""


def keep_memory() -> bool:
    """Let this process keep freed memory instead of giving it back to the system; whether that can be set.

    By default, glibc gives a large tensor's memory back when the tensor is freed. The next one then gets fresh pages,
    which the system first fills with zeros: about a tenth of a training step. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = ((MMAP_THRESHOLD, LARGEST), (TRIM_THRESHOLD, 2**31 - 1), (TOP_PAD, 2**26))
    return min(mallopt(parameter, value) for parameter, value in wanted) == 1
