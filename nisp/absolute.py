"""The absolute network: every operation is replaced by a bound on how much it passes on a change of its inputs.

A real forward pass runs on an example. Each tensor that depends on the input is a `Response`: its values, and its
``signal``, the same tensor in the absolute network. The absolute network is linear with non-negative coefficients, so
the gradient of its final responses is NISP's rule s_k = |W|^T s_{k+1} at every layer, skips and branches included. Only
that gradient is needed: signals have a shape but no values, and cost no memory and no arithmetic.

There is one small rule per torch function, in one table, `RULES`, which `nisp.rules` fills; docs/operations.md lists
the rules with their bounds. Operations on constants run unchanged. A function without a rule is refused by name, never
guessed. (SynFlow, Tanaka et al. 2020, is the absolute network with s = 1 at the output, used per weight.)
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import resolve_name

from nisp.errors import UserError
from nisp.masks import Mask
from nisp.signals import Signal, grown

Adjoint = Callable[..., Sequence[Tensor | None]]
"""Scores of a function's outputs -> scores of the responses among its arguments, in order."""

Rule = Callable[..., Adjoint | None]
"""Takes a function's arguments before the function runs; must copy any values that it keeps.

None says that the result does not depend on the values of the responses: only their shape or type is used.
"""

RULES: dict[Any, Rule] = {}
COMPOSED: dict[Any, Callable[..., Any]] = {}
"""Function -> an equivalent built from functions that have rules."""

GAINS: dict[Any, Callable[..., float]] = {}
"""Function -> estimate, from its arguments, of how much it multiplies scores; 1 for all others (`nisp.signals`)."""

WEIGHED: set[Any] = set()
"""The convolution and linear functions, whose second argument is a weight."""

CONSTANTS: set[Any] = set()
"""Functions whose results do not depend on the values of the input: shapes, new tensors."""

COMPARISONS: set[Any] = set()
"""Functions whose results depend on the values but count as constants: masks, indices of maxima."""

CHECKS: set[Any] = set()
"""Those whose results the network may branch on: whether values are finite."""

REFUSED: dict[Any, str] = {}
"""Functions that can have no rule -> why; one that stands in no table is refused without a reason."""


def rule(*functions: Any) -> Callable[[Rule], Rule]:
    """Register the decorated rule for each of ``functions``; it takes the same arguments."""

    def register(body: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, body))
        return body

    return register


def composed(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function to run in place of each of ``functions``."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        COMPOSED.update(dict.fromkeys(functions, body))
        return body

    return register


def hollow(like: Tensor, shape: Sequence[int] | None = None) -> Tensor:
    """Zeros that take no memory; float64, because scores grow by many orders of magnitude with depth."""
    return torch.zeros((), dtype=torch.float64, device=like.device).expand(like.shape if shape is None else shape)


@dataclass(frozen=True, eq=False)
class Weighing:
    """One call of a convolution or linear function: its weight, the signal that it read and the one that it made."""

    weight: Tensor
    read: Signal
    made: Signal


@dataclass(frozen=True)
class Pass:
    """One forward pass: whether it computes the real values, and the calls of layers with weights so far.

    Most networks need no values: then layers with weights are not computed, only the shapes of their outputs are.
    """

    measuring: bool
    weighings: list[Weighing] = field(default_factory=list)


class Unmeasured(Exception):
    """Raised where a rule needs values in a pass that does not compute them."""


class Response(Tensor):
    """Values of the real network that depend on its input, and their ``signal`` in the absolute network."""

    signal: Signal
    run: Pass
    sharing: "list[weakref.ref[Response]]"

    @staticmethod
    def of(values: Tensor, signal: Signal, run: Pass, viewed: "Response | None" = None) -> "Response":
        """``values`` as a response; ``viewed`` is a response whose memory it shares."""
        response = values.as_subclass(Response)
        response.signal = signal
        response.run = run
        response.sharing = [] if viewed is None else viewed.sharing
        response.sharing.append(weakref.ref(response))
        return response

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if Mask in types:
            args, kwargs = mapped((args, kwargs), lambda t: t.as_subclass(Tensor) if isinstance(t, Mask) else t)
        if func in COMPOSED:
            return COMPOSED[func](*args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            if func not in RULES:
                return _constant(func, args, kwargs)
            adjoint = RULES[func](*args, **kwargs)
            if adjoint is None:
                return func(*args, **kwargs)
            gain = GAINS[func](*args, **kwargs) if func in GAINS else 1.0
            sources = responses_in((args, kwargs))
            _refuse_hidden_writes(func, args, kwargs)
            read, run = sources[0].signal, sources[0].run
            versions = [_version(source) for source in sources]
            values = _shaped(func, args, kwargs) if func in WEIGHED and not run.measuring else func(*args, **kwargs)
            for source, version in zip(sources, versions, strict=True):
                if _version(source) != version:
                    _refuse_shared(func, source, alone=len(sources) == 1)
            made = _carried(args[0] if values is None else values, adjoint, gain, sources)
            if func in WEIGHED:
                run.weighings.append(Weighing(args[1] if len(args) > 1 else kwargs["weight"], read, made.signal))
            return made


class _Edge(torch.autograd.Function):
    """One operation of the absolute network: hollow in the forward pass, the rule's adjoint in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, adjoint: Adjoint, shifts: Sequence[int], likes: Sequence[Tensor], *paths: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.adjoint, ctx.shifts = adjoint, shifts
        ctx.set_materialize_grads(False)
        return tuple(hollow(like) for like in likes)

    @staticmethod
    def backward(ctx: Any, *scores: Tensor | None) -> Any:
        found = ctx.adjoint(*scores)
        shifted = (s if s is None or not shift else s * 2.0**shift for s, shift in zip(found, ctx.shifts, strict=True))
        return None, None, None, *shifted


def _constant(func: Any, args: Any, kwargs: Any) -> Any:
    if func in COMPARISONS:
        for response in responses_in((args, kwargs)):
            measured(response)
        values = func(*args, **kwargs)
        return values.as_subclass(Mask) if isinstance(values, Tensor) and func not in CHECKS else values
    getter = getattr(func, "__name__", "") == "__get__"
    if func in CONSTANTS or getter:
        values = func(*args, **kwargs)
        if not getter or not isinstance(values, Tensor):
            return values
    reason = f": {REFUSED[func]}" if func in REFUSED else ""
    raise UserError(
        f"NISP has no rule for the operation {resolve_name(func) or getattr(func, '__qualname__', func)}{reason}"
    )


def measured(response: Tensor) -> Tensor:
    """The real values of a response or a constant; raises Unmeasured if its pass does not compute them."""
    if isinstance(response, Response) and not response.run.measuring:
        raise Unmeasured
    return response.detach().as_subclass(Tensor)


def _shaped(func: Any, args: Any, kwargs: Any) -> Tensor:
    """Zeros of the shape that a layer would compute."""
    shape = func(*mapped(args, lambda t: t.as_subclass(Tensor).to("meta")), **mapped(kwargs, lambda t: t.to("meta")))
    return torch.zeros_like(shape, device=args[0].device)


def _carried(values: Any, adjoint: Adjoint, gain: float, sources: Sequence[Response]) -> Any:
    """The outputs as responses; integers and booleans, such as indices of maxima, as masks."""
    outputs = [values] if isinstance(values, Tensor) else list(values)
    floating = [output for output in outputs if output.is_floating_point()]
    if len(floating) < len(outputs):
        measured(sources[0])
    growth, level = grown([source.signal for source in sources], gain)
    shifts = [source.signal.level - level for source in sources]
    with torch.enable_grad():
        paths = iter(_Edge.apply(adjoint, shifts, floating, *(source.signal.path for source in sources)))
    for index, output in enumerate(outputs):
        if isinstance(output, Response):  # written in place
            output.signal = Signal(next(paths), growth, level)
        elif output.is_floating_point():
            signal = Signal(next(paths), growth, level)
            shared = (s for s in sources if s.untyped_storage().data_ptr() == output.untyped_storage().data_ptr())
            outputs[index] = Response.of(output, signal, sources[0].run, next(shared, None))
        else:
            outputs[index] = output.as_subclass(Mask)
    return outputs[0] if isinstance(values, Tensor) else type(values)(outputs)


def _refuse_hidden_writes(func: Any, args: Any, kwargs: Any) -> None:
    """Refuse writes that would be visible elsewhere: unlike values, paths do not share memory."""
    name = getattr(func, "__name__", "")
    if kwargs.get("out") is not None:
        raise UserError(f"NISP has no rule for {name} with out=")
    augmented = name.startswith("__i") and name not in ("__iter__", "__invert__")
    if not (name == "__setitem__" or augmented or (name.endswith("_") and not name.endswith("__"))):
        return
    target = args[0]
    if not isinstance(target, Response):
        if augmented and _alone_in_memory(target):  # the name is bound to the result
            return
        raise UserError(f"NISP has no rule for {name}, which writes a response into a constant tensor")
    _refuse_shared(func, target, alone=len(responses_in((args, kwargs))) == 1)


def _refuse_shared(func: Any, target: Response, alone: bool) -> None:
    """Refuse to write into memory that other responses share, unless their scores stay right."""
    others = (reference() for reference in target.sharing)
    if not (alone and _is_identity(func)) and any(other is not None and other is not target for other in others):
        raise UserError(f"NISP has no rule for {func.__name__} on part of a response that is still in use")


def _alone_in_memory(tensor: Tensor) -> bool:
    storage = tensor.untyped_storage()
    return torch._C._storage_Use_Count(storage._cdata) <= 2  # the tensor, and the line above


def _version(tensor: Tensor) -> int:
    """Counts the writes into a tensor."""
    return 0 if tensor.is_inference() else tensor._version


def _is_identity(func: Any) -> bool:
    return getattr(RULES[func], "factor", None) == 1


def responses_in(value: Any) -> list[Response]:
    """All responses among arguments, in order, including those in lists, tuples and dictionaries."""
    if isinstance(value, Response):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [response for item in value for response in responses_in(item)]


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Arguments with ``change`` applied to every tensor, including those in lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)([mapped(item, change) for item in value])
    return value
