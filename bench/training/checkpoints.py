"""The state of a training while it runs, so that a killed one continues where it was."""

import hashlib
import io
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nisp.whole_files import replacing

SECONDS = 20.0
"""Between two checkpoints, unless the environment variable NISP_BENCH_CHECKPOINT_SECONDS says otherwise."""


def is_due(saved: float) -> bool:
    """Whether a checkpoint is due; ``saved`` is the time of the last one by `time.monotonic`."""
    return time.monotonic() - saved > float(os.environ.get("NISP_BENCH_CHECKPOINT_SECONDS", SECONDS))


Curve = list[dict[str, Any]]
"""The epochs so far, each as a mapping of its fields."""


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator, curve: Curve
) -> None:
    """Write a checkpoint: what torch saves, preceded by its SHA-256."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generator": generator.get_state(),
        "curve": curve,
    }
    saved = io.BytesIO()
    torch.save(state, saved)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(hashlib.sha256(saved.getbuffer()).digest())
        file.write(saved.getbuffer())


def read(path: Path | None) -> bytes:
    """What torch saved in a checkpoint; nothing if there is no valid one.

    A damaged checkpoint costs the epochs that it held, never the run.
    """
    if path is None or not path.exists():
        return b""
    content = path.read_bytes()
    digest, saved = content[:32], content[32:]
    return saved if hashlib.sha256(saved).digest() == digest else b""


def resume(saved: bytes, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> Curve:
    """Load what `read` returned into the three objects, on any device, and return the curve; empty if it is nothing."""
    if not saved:
        return []
    state: dict[str, Any] = torch.load(io.BytesIO(saved), map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    generator.set_state(state["generator"])
    return state["curve"]
