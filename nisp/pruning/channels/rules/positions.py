"""Operations that read a channel's values at other positions: sampling, windows, and sums of products."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.pruning.channels.ids import Ids, unique, varies, wrapped
from nisp.pruning.channels.rules.meetings import tied
from nisp.pruning.channels.table import opaque, rule


@rule(F.grid_sample, torch.grid_sampler)
def _sampled(channels: Any, func: Any, input: Any, grid: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Each channel at the same points; what decides where these are stays."""
    if not isinstance(input, Ids):
        return opaque(channels, func, input, grid, *args, **kwargs)
    if isinstance(grid, Ids):
        channels.fix(unique(grid), "decides where an activation is sampled")
    return _at(channels.column(input, 1), input, grid.shape[1:-1])


@rule(F.unfold)
def _windows(channels: Any, func: Any, input: Tensor, kernel_size: Any, *args: Any, **kwargs: Any) -> Any:
    """Every channel becomes as many channels as a window has places."""
    probe = func(torch.zeros(1, 1, *input.shape[2:]), kernel_size, *args, **kwargs)
    return _at(channels.column(input, 1).repeat(probe.size(1)), input, probe.shape[2:])


@rule(F.fold)
def _folded(
    channels: Any, func: Any, input: Tensor, output_size: Any, kernel_size: Any, *args: Any, **kwargs: Any
) -> Any:
    """The channels that are the places of one window are summed into one channel, and are removed together."""
    places = math.prod(kernel_size) if isinstance(kernel_size, Sequence) else kernel_size**2
    rows = channels.column(input, 1).reshape(-1, places)
    for place in range(1, places):
        channels.tie(rows[:, 0], rows[:, place])
    probe = func(torch.zeros(1, places, input.size(2)), output_size, kernel_size, *args, **kwargs)
    return _at(rows[:, 0], input, probe.shape[2:])


def _at(row: Any, input: Tensor, positions: Sequence[int]) -> Tensor:
    """The channels of ``row``, dimension 1, at all positions."""
    ids = torch.from_numpy(row).to(input.device).reshape(1, -1, *[1] * len(positions))
    return wrapped(ids.expand(input.size(0), -1, *positions))


@rule(torch.einsum)
def _einsum(channels: Any, func: Any, equation: Any, *operands: Any) -> Any:
    """A sum of products over positions keeps the channels; one over channels fixes all."""
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    terms, arrow, output = equation.replace(" ", "").partition("->") if isinstance(equation, str) else ("", "", "")
    inputs = terms.split(",")
    plain = arrow and "." not in terms and all(len(set(term)) == len(term) for term in [*inputs, output])
    if not plain or len(inputs) != len(operands):
        return opaque(channels, func, equation, *operands)
    letters = sorted(set("".join(inputs)))
    sizes = {
        letter: size
        for term, t in zip(inputs, operands, strict=True)
        for letter, size in zip(term, t.shape, strict=True)
    }
    product: Tensor | None = None
    for term, operand in zip(inputs, operands, strict=True):
        if isinstance(operand, Ids):
            laid = _laid_out(operand.as_subclass(Tensor), term, letters)
            if any(varies(laid, d) and letter not in output for d, letter in enumerate(letters)):
                return opaque(channels, func, equation, *operands)
            product = laid if product is None else tied(channels, product, laid).as_subclass(Tensor)
    assert product is not None
    product = product.expand([sizes[letter] for letter in letters])
    for term, operand in zip(inputs, operands, strict=True):
        for d, letter in enumerate(term):
            where = letters.index(letter)
            if not isinstance(operand, Ids) and operand.size(d) > 1 and varies(product, where):
                channels.read_along(operand, d, channels.column(product, where))
    for d, letter in enumerate(letters):
        product = product if letter in output else product.narrow(d, 0, 1)
    kept = [letter for letter in letters if letter in output]
    product = product.squeeze([d for d, letter in enumerate(letters) if letter not in output])
    return wrapped(product.permute([kept.index(letter) for letter in output]))


def _laid_out(ids: Tensor, term: str, letters: list[str]) -> Tensor:
    """The dimensions of ``term`` in the order of all ``letters``; of size 1 where it has none."""
    present = [letter for letter in letters if letter in term]
    ids = ids.permute([term.index(letter) for letter in present])
    for d, letter in enumerate(letters):
        ids = ids if letter in term else ids.unsqueeze(d)
    return ids
