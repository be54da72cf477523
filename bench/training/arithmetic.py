"""How networks are computed: in which precision, and on GPUs repeatably."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"

BF16_UNITS = ("amx_bf16", "avx512_bf16", "bf16")
"""Names that PyTorch gives to instructions of x86 and ARM processors that multiply bf16."""


def compute_repeatably() -> None:
    """Only deterministic kernels, and float32 without rounding to TF32; to be called before CUDA starts."""
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    _set_tf32(False)


@contextlib.contextmanager
def computing_as(precision: str) -> Iterator[None]:
    """In the block, GPUs round the factors of products to TF32 if ``precision`` is tf32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    if precision == "tf32":
        _set_tf32(True)
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _set_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed


def resolved(precision: str, device: torch.device) -> str:
    """``precision``; auto becomes bf16 where the device multiplies bf16 in hardware, which is faster, else fp32.

    Nothing is timed for it, so every job on a machine computes alike, and a killed training continues as it began.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    units = torch.cpu.get_capabilities()
    return "bf16" if any(units.get(name, False) for name in BF16_UNITS) else "fp32"


def settings() -> dict[str, Any]:
    """What decides how a GPU computes: versions, and the numeric flags of torch."""
    return {
        "gpu": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "driver": _driver(),
        "tf32": torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cublas_workspace": os.environ.get(WORKSPACE, ""),
    }


def _driver() -> str:
    """Version of NVIDIA's driver, as the kernel module states it."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text().partition("\n")[0].split()
    except OSError:
        return "unknown"
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown")


class RepeatablePools(TorchFunctionMode):
    """Adaptive average pools on GPUs become products with matrices of weights.

    Their own backward pass adds up in any order, so it is refused where only repeatable kernels are allowed. Pools to
    one value are means, which are repeatable.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces F.adaptive_avg_pool1d, 2d and 3d."""
        kwargs = kwargs or {}
        input = args[0] if args else kwargs.get("input")
        if func not in _DIMENSIONS or not input.is_cuda:
            return func(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            return averaged(input, kwargs.get("output_size", args[1] if len(args) > 1 else None), _DIMENSIONS[func])


_DIMENSIONS = {F.adaptive_avg_pool1d: 1, F.adaptive_avg_pool2d: 2, F.adaptive_avg_pool3d: 3}


def averaged(input: Tensor, output_size: Any, dimensions: int) -> Tensor:
    """The adaptive average pool over the last ``dimensions``; an output size of None keeps a dimension's size."""
    sizes = [output_size] * dimensions if isinstance(output_size, int) else list(output_size)
    for dim, size in zip(range(-dimensions, 0), sizes, strict=True):
        if size == 1:
            input = input.mean(dim, keepdim=True)
        elif size is not None and size != input.size(dim):
            weights = _window_weights(input.size(dim), size).to(input.device, input.dtype)
            input = (input.movedim(dim, -1) @ weights).movedim(-1, dim)
    return input


def _window_weights(size: int, count: int) -> Tensor:
    """Shape (size, count): column i is 1 / length from place floor(i size / count) up to ceil((i + 1) size / count)."""
    places, windows = torch.arange(size)[:, None], torch.arange(count)
    start, stop = windows * size // count, -(-(windows + 1) * size // count)
    return ((places >= start) & (places < stop)) / (stop - start)
