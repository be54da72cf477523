"""Generic rules: each function here makes the rule of a given torch function."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nisp.absolute import Response, hollow, mapped, measured, responses_in
from nisp.table import Adjoint, Rule


class _Slot:
    """Placeholder for response number ``index`` in a function's arguments."""

    def __init__(self, index: int) -> None:
        self.index = index


def as_is(func: Callable[..., Any]) -> Rule:
    """A function that is linear with non-negative coefficients: its adjoint is its own transpose."""

    def absolute(*args: Any, **kwargs: Any) -> Adjoint:
        shapes = [hollow(response) for response in responses_in((args, kwargs))]
        call = _emptied(args, {key: value for key, value in kwargs.items() if key != "dtype"})

        def adjoint(*scores: Tensor | None) -> Sequence[Tensor | None]:
            leaves = [shape.detach().requires_grad_() for shape in shapes]
            return transpose(func, mapped(call, _double), leaves, scores)

        return adjoint

    return absolute


def bilinear(func: Callable[..., Any], elements: bool = False) -> Rule:
    """A function that is linear in each of its tensors, like a product: each gets the others' measured magnitudes.

    ``elements`` says that it also multiplies the elements of one tensor.

    |d(xy)| <= |y| |dx| + |x| |dy| at the responses to the example; of a constant, only the magnitude counts.
    """

    def absolute(*args: Any, **kwargs: Any) -> Adjoint:
        responses = responses_in((args, kwargs))
        alone = len(responses) == 1 and not elements
        sizes = [hollow(response) if alone else measured(response).abs() for response in responses]
        call = _emptied(args, kwargs)

        def adjoint(*scores: Tensor | None) -> Sequence[Tensor | None]:
            leaves = [size.double().detach().requires_grad_() for size in sizes]
            return transpose(func, mapped(call, _magnitude), leaves, scores)

        return adjoint

    return absolute


def pointwise(func: Callable[..., Any]) -> Rule:
    """A function in which every input element reaches one output element: its measured |derivative|.

    Broadcast tensors are expanded first, so that derivatives of opposite sign do not cancel.
    """

    def absolute(*args: Any, **kwargs: Any) -> Adjoint:
        responses = responses_in((args, kwargs))
        tensors = [argument for argument in (*args, *kwargs.values()) if isinstance(argument, Tensor)]
        shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
        copies = [measured(response).clone() for response in responses]
        call = _emptied(args, kwargs)

        def adjoint(*scores: Tensor | None) -> Sequence[Tensor | None]:
            leaves = [copy.double().expand(shape).detach().requires_grad_() for copy in copies]
            found = transpose(func, mapped(call, _double), leaves, scores)
            return [s if s is None else s.abs().sum_to_size(c.shape) for s, c in zip(found, copies, strict=True)]

        return adjoint

    return absolute


def lipschitz(constant: float) -> Rule:
    """An elementwise function, |f(x) - f(y)| <= constant |x - y| everywhere; only the shape of other tensors counts."""

    def absolute(input: Tensor, *args: Any, **kwargs: Any) -> Adjoint | None:
        if not isinstance(input, Response):
            return None
        others = [None] * len(responses_in((args, kwargs)))
        return lambda score: [score if constant == 1 else constant * score, *others]

    absolute.factor = constant  # type: ignore[attr-defined]
    return absolute


def of_each(*args: Any, **kwargs: Any) -> Adjoint:
    """An elementwise function of several tensors that changes by no more than the sum of their changes."""
    shapes = [response.shape for response in responses_in((args, kwargs))]
    return lambda score: [score if score.shape == shape else score.sum_to_size(shape) for shape in shapes]


of_each.factor = 1  # type: ignore[attr-defined]


def writing(func: Callable[..., Any]) -> Callable[..., Any]:
    """A method that writes into its tensor -> the same, written into a copy."""

    def written(target: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        copy = target.clone()
        func(copy, *args, **kwargs)
        return copy

    return written


def transpose(
    func: Callable[..., Any], call: Any, leaves: Sequence[Tensor], scores: Sequence[Tensor | None]
) -> Sequence[Tensor | None]:
    """The transposed Jacobian of a call, at ``leaves``, times the scores of its outputs.

    Some leaves may reach none of the outputs that have a score: of several outputs, not all need be used.
    """
    args, kwargs = _filled(call, leaves)
    with torch.enable_grad():
        values = func(*args, **kwargs)
    outputs = [values] if isinstance(values, Tensor) else [value for value in values if value.is_floating_point()]
    pairs = zip(outputs, scores, strict=True)
    used = [(output, score) for output, score in pairs if score is not None and output.requires_grad]
    if not used:
        return [None] * len(leaves)
    return torch.autograd.grad([o for o, _ in used], leaves, [s for _, s in used], allow_unused=True)


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().double() if tensor.is_floating_point() else tensor


def _magnitude(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.bool else _double(tensor).abs()


def _emptied(args: Any, kwargs: Any) -> Any:
    """Arguments with a slot in place of every response, so that its values are not kept in memory."""
    count = iter(range(10**6))
    return mapped((args, kwargs), lambda t: _Slot(next(count)) if isinstance(t, Response) else t)


def _filled(call: Any, leaves: Sequence[Tensor]) -> Any:
    if isinstance(call, _Slot):
        return leaves[call.index]
    if isinstance(call, dict):
        return {key: _filled(item, leaves) for key, item in call.items()}
    if isinstance(call, list | tuple) and not isinstance(call, torch.Size):
        return type(call)([_filled(item, leaves) for item in call])
    return call
