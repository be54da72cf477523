"""The device of a job, chosen so that no two jobs on this machine share a GPU unless asked to."""

import fcntl
import os
import re
import sys
import tempfile
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from nisp.errors import UserError, first_line

if TYPE_CHECKING:  # planning a suite counts GPUs without torch
    import torch

SLOTS = 64
"""Most jobs that share a GPU in an orderly way."""

_cpu = False
_claims: list[int] = []  # open lock files; the system releases them when the process ends, however it ends


def visible_gpus() -> list[str]:
    """The NVIDIA devices that this process may use, as CUDA_VISIBLE_DEVICES names them: UUIDs, or numbers from 0.

    Without that variable, as many numbers as there are device files: CUDA numbers what is there, whatever the files are
    called (a container with the devices 2 and 3 has GPUs 0 and 1). As for CUDA, the list ends at -1.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(index) for index in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]
    names = (name.strip() for name in named.split(","))
    return list(takewhile(lambda name: name not in ("", "-1"), names))


def use(wanted: str, gpus: int) -> int:
    """Run this job on the number of GPUs it was given, or on the CPU.

    wanted  cuda  a GPU
            auto  a GPU if the job was given one, else the CPU; with a note if it asked for one and none is here
            cpu   the CPU; CUDA is not touched
    gpus    how many the scheduler gave the job. If more are visible, as on a machine without a scheduler, the job
            claims this many that no other job has claimed.

    Returns how many GPUs the job computes on. UserError, with torch's reason, if torch cannot use those that are here.
    """
    global _cpu
    import torch

    from bench.training.arithmetic import compute_repeatably

    _cpu = wanted == "cpu" or (wanted == "auto" and gpus == 0)
    if _cpu:
        return 0
    visible = visible_gpus()
    if 0 < gpus < len(visible):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(_claimed(visible, gpus))
    if not torch.cuda.is_available():
        if wanted == "auto" and not visible:
            print("this job asked for a GPU, but there is none here: it runs on the CPU", file=sys.stderr)
            _cpu = True
            return 0
        given = "the config has device: cuda" if wanted == "cuda" else "this job was given a GPU"
        raise UserError(f"{given}, but torch cannot use one ({_reason()}): set device: cpu, or repair that")
    compute_repeatably()
    return max(1, gpus)


def _reason() -> str:
    """Why torch has no GPU, in its own words."""
    import torch

    try:
        torch.cuda.init()
    except Exception as error:
        return first_line(error)
    return "it sees none"


def device() -> "torch.device":
    """The first GPU of the job (of its process, where it has several), or the CPU."""
    import torch

    if _cpu or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def _claimed(visible: list[str], count: int) -> list[str]:
    """``count`` devices: those with the fewest jobs, where every job holds one slot of each of its devices."""
    taken: list[str] = []
    for slot in range(SLOTS):
        taken += islice((name for name in visible if name not in taken and _claim(name, slot)), count - len(taken))
        if len(taken) == count:
            return taken
    return (taken + [name for name in visible if name not in taken])[:count]


def _claim(name: str, slot: int) -> bool:
    """Whether this job now holds a slot of a device; False if another one does."""
    path = Path(tempfile.gettempdir(), f"nisp-bench-gpu-{re.sub(r'[^0-9A-Za-z-]', '_', name)}.{slot}.lock")
    try:
        file = _opened(path)
    except OSError:  # another user's, and not for us
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return False
    os.set_inheritable(file, True)  # by torchrun, which this process may become
    _claims.append(file)
    return True


def _opened(path: Path) -> int:
    """The lock file, made if it is missing. Systems that protect /tmp let only its owner open it in order to create."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
