"""How the result of an operation on constants depends on its arguments, measured on random values."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

ROUNDS = 5
"""Most random halves of an axis that are changed, one by one; of up to 2 ** ROUNDS indices, all are told apart."""

_CHANGED = 1e-3
"""Relative difference that is not rounding. A half of the indices is changed by a factor of two or more."""


class Probe:
    """One operation, run again on random values of its tensors' shapes.

    The values are positive, so that roots, logarithms and rectifiers show what they depend on; tensors of integers
    keep their values. ``outputs`` are the tensors of the result. An error of the first run is passed on.
    """

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._func = func
        self._leaves, self._layout = tree_flatten((args, kwargs))
        name = getattr(func, "__name__", "")
        self._in_place = name.endswith("_") or name.startswith("__i")
        self._generators: dict[torch.device, torch.Generator] = {}
        tensors = {id(leaf): leaf for leaf in self._leaves if isinstance(leaf, Tensor)}
        drawn = {key: self._drawn(tensor) for key, tensor in tensors.items()}
        self._values = {key: values for key, (values, _) in drawn.items()}
        self._others = {key: others for key, (_, others) in drawn.items()}
        self.outputs = self._run(self._values)

    def aligned(self, tensor: Tensor, dim: int) -> list[int | None]:
        """For each output, its dimension whose index i depends on index i along ``dim`` of ``tensor`` and on no other.

        None where there is no such dimension, or the output does not depend on ``tensor``.
        """
        size = tensor.size(dim)
        found = [{e for e in range(output.dim()) if output.size(e) == size} for output in self.outputs]
        values, others = self._values[id(tensor)], self._others[id(tensor)]
        for half in _halves(size, tensor.device):
            if not any(found):
                break
            mask = half.reshape(-1, *[1] * (tensor.dim() - 1 - dim % tensor.dim()))
            try:
                changed = self._run({**self._values, id(tensor): torch.where(mask, others, values)})
            except (RuntimeError, ValueError, IndexError):  # an index that another tensor does not have
                return [None] * len(self.outputs)
            for dims, before, after in zip(found, self.outputs, changed, strict=True):
                differs = _differs(before, after)
                for e in list(dims):
                    if not torch.equal(differs.movedim(e, 0).reshape(size, -1).any(1), half):
                        dims.discard(e)
        return [min(dims) if dims else None for dims in found]

    def vanishes(self, zeroed: list[tuple[Tensor, int]], output: int, dim: int) -> bool:
        """Whether ``dim`` of this output is zero where all of ``zeroed``, (tensor, dimension), are zero."""
        size = self.outputs[output].size(dim)
        half = torch.arange(size, device=self.outputs[output].device) % 2 == 0
        values = dict(self._values)
        for tensor, along in zeroed:
            values[id(tensor)] = values[id(tensor)].index_fill(along, half.nonzero().flatten(), 0)
        result = self._run(values)[output].movedim(dim, 0)
        return not bool(result[half].any())

    def _run(self, values: dict[int, Tensor]) -> list[Tensor]:
        """The outputs; the operation may write to tensors of running statistics, or to its first."""
        leaves = [
            (values[id(leaf)].clone() if self._in_place or leaf.dim() < 2 else values[id(leaf)])
            if isinstance(leaf, Tensor)
            else leaf
            for leaf in self._leaves
        ]
        args, kwargs = tree_unflatten(leaves, self._layout)
        return [leaf for leaf in tree_flatten(self._func(*args, **kwargs))[0] if isinstance(leaf, Tensor)]

    def _drawn(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """Values, and others that differ from them everywhere, by factors of their own."""
        if tensor.dtype != torch.bool and not tensor.is_floating_point():
            return tensor.detach(), tensor.detach() + 1
        drawn = torch.rand(2, *tensor.shape, generator=self._generator(tensor.device), device=tensor.device)
        if tensor.dtype == torch.bool:
            return drawn[0] > 0.5, drawn[0] <= 0.5
        values = drawn[0] + 0.5
        return values.to(tensor.dtype), (values * (2 + drawn[1])).to(tensor.dtype)

    def _generator(self, device: torch.device) -> torch.Generator:
        return self._generators.setdefault(device, torch.Generator(device).manual_seed(0))


def _halves(size: int, device: torch.device) -> list[Tensor]:
    """Sets of indices, bool, that tell indices apart; for a single index, the set of it."""
    numbers = torch.arange(size, device=device)
    bits = max(1, (size - 1).bit_length())
    if bits <= ROUNDS:
        return [(numbers >> bit) % 2 == (0 if size == 1 else 1) for bit in range(bits)]
    generator = torch.Generator(device).manual_seed(0)
    draws = [torch.rand(size, generator=generator, device=device) for _ in range(ROUNDS)]
    return [each < each.median() for each in draws]


def _differs(before: Tensor, after: Tensor) -> Tensor:
    if not before.is_floating_point():
        return before != after
    return (after - before).abs_() > before.abs().mul_(_CHANGED).add_(1e-6)
