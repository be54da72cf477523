"""Running a network without leaving a trace in it."""

import contextlib
import copy
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

_CONTAINERS = (list, dict, set, deque)


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Eval mode, without compilation; on exit, every module has the mode, attributes and buffers that it had before.

    A network may keep activations, counters or caches, on itself or in lists, dictionaries and objects of its own.
    Where it enters inference mode, whose tensors cannot be differentiated, gradients are switched off instead.
    """
    kept = [_Kept(module.__dict__) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.eval()
    try:
        with _eagerly(), mock.patch.object(torch.inference_mode, "__enter__", _enter_without_gradients):
            yield
    finally:
        for each in kept:
            each.restore()
        with torch.no_grad():
            for buffer, before in buffers:
                if not _same(buffer, before):
                    buffer.copy_(before)


@contextlib.contextmanager
def same_draws(model: nn.Module) -> Iterator[None]:
    """In the block, random numbers are the same in every call; on exit, the generators are as they were before.

    Those of the CPU and of the GPU that holds ``model``, if any; other GPUs are not touched.
    """
    with own_draws(next((parameter.device for parameter in model.parameters()), torch.device("cpu"))):
        torch.manual_seed(0)
        yield


def own_draws(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """On exit, the random generators of the CPU, and of ``device`` if it is a GPU, are as they were before."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


class _Kept:
    """What a module's attributes, or a container, hold; ``restore`` puts it back, in place."""

    def __init__(self, holder: Any, seen: set[int] | None = None) -> None:
        seen = set() if seen is None else seen
        seen.add(id(holder))
        self.holder = holder
        self.before = copy.copy(holder)
        inside = holder.values() if isinstance(holder, dict) else holder
        self.inner = [_Kept(each, seen) for value in inside for each in _holders(value) if id(each) not in seen]

    def restore(self) -> None:
        """Put back what the holder held."""
        for each in self.inner:
            each.restore()
        if isinstance(self.holder, dict | set):
            self.holder.clear()
            self.holder.update(self.before)
        elif isinstance(self.holder, deque):
            self.holder.clear()
            self.holder.extend(self.before)
        else:
            self.holder[:] = self.before


def _holders(value: Any) -> list[Any]:
    """The containers in which ``value`` may keep what it is given: itself, or the attributes of an object."""
    if isinstance(value, _CONTAINERS):
        return [value]
    if isinstance(value, tuple):
        return [each for item in value for each in _holders(item)]
    if isinstance(value, nn.Module | Tensor | type) or not isinstance(getattr(value, "__dict__", None), dict):
        return []
    return [value.__dict__] if type(value).__module__.partition(".")[0] not in ("torch", "builtins") else []


def _eagerly() -> contextlib.AbstractContextManager[Any]:
    """Without compilation; where nothing can have been compiled, the compiler is not imported, which takes seconds."""
    if "torch._dynamo" not in sys.modules:
        return contextlib.nullcontext()
    return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]


def _enter_without_gradients(mode: Any) -> None:
    """Enter ``torch.no_grad()`` in place of ``torch.inference_mode()``; ``inference_mode(False)`` is itself."""
    mode._inference_mode_context = torch.no_grad() if mode.mode else torch._C._InferenceMode(False)
    mode._inference_mode_context.__enter__()


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one, other) or bool(torch.isclose(one, other, 0, 0, equal_nan=True).all())
