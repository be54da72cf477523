"""The device of a job, chosen so that no two jobs on this machine share a GPU unless asked to."""

import fcntl
import os
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from nisp.errors import UserError

if TYPE_CHECKING:  # planning a suite counts GPUs without torch
    import torch

_cpu = False
_claims: list[int] = []  # open lock files; the system releases them when the process ends, however it ends


def visible_gpus() -> list[str]:
    """Names of the NVIDIA devices that this process may use: those of CUDA_VISIBLE_DEVICES, else all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip() not in ("", "-1")]
    return sorted((file.name.removeprefix("nvidia") for file in Path("/dev").glob("nvidia[0-9]*")), key=int)


def use(wanted: str, gpus: int) -> int:
    """Run this job on the number of GPUs it was given, or on the CPU.

    wanted  cuda  a GPU; UserError if there is none
            auto  a GPU if there is one, else the CPU, with a note if the job was given a GPU
            cpu   the CPU
    gpus    how many the scheduler gave the job. If more are visible, as on a machine without a scheduler, the job
            claims this many that no other job has claimed.

    Returns how many GPUs the job computes on.
    """
    global _cpu
    import torch

    _cpu = wanted == "cpu" or (wanted == "auto" and gpus == 0)
    if _cpu:
        return 0
    visible = visible_gpus()
    if 0 < gpus < len(visible):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_claimed(visible, gpus))
    if not torch.cuda.is_available():
        if wanted == "cuda":
            raise UserError(
                "the config has device: cuda, but torch sees no GPU here: set device: auto or cpu, or ask for a GPU"
            )
        print("this job was given a GPU, but torch sees none: it runs on the CPU", file=sys.stderr)
        _cpu = True
        return 0
    return max(1, gpus)


def device() -> "torch.device":
    """The first GPU of the job (of its process, where it has several), or the CPU."""
    import torch

    if _cpu or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def _claimed(visible: list[str], count: int) -> list[str]:
    """``count`` devices: first those that no other job has claimed; the others are shared, as the user asked."""
    free = list(islice(filter(_claim, visible), count))
    return (free + [name for name in visible if name not in free])[:count]


def _claim(name: str) -> bool:
    path = Path(tempfile.gettempdir(), f"nisp-bench-gpu-{name}.lock")
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return False
    os.set_inheritable(file, True)  # by torchrun, which this process may become
    _claims.append(file)
    return True
