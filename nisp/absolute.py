"""The absolute network: every operation is replaced by a bound on how much it passes on a change of its inputs.

A real forward pass runs on an example. Each tensor that depends on the input is a `Response`: its values, and its
``signal``, the same tensor in the absolute network. The absolute network is linear with non-negative coefficients, so
the gradient of its final responses is NISP's rule s_k = |W|^T s_{k+1} at every layer, skips and branches included. Only
that gradient is needed: signals have a shape but no values, and cost no memory and no arithmetic.

There is one small rule per torch function, in one table, `RULES`, which `nisp.rules` fills; docs/operations.md lists
the rules with their bounds. Operations on constants run unchanged. A function without a rule is refused by name, never
guessed. (SynFlow, Tanaka et al. 2020, is the absolute network with s = 1 at the output, used per weight.)

Values that depend on the input in steps only, such as tokens, indices of maxima and masks, are *inert*: no small change
of the input changes them, so they are constants to every operation that also reads other responses.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import resolve_name

from nisp.errors import UserError
from nisp.pruning.dispatch import public
from nisp.signals import Signal, grown
from nisp.table import (
    BRANCHES,
    COMPARISONS,
    COMPOSED,
    CONSTANTS,
    GAINS,
    KNOWN,
    NORMS,
    PRODUCTS,
    REFUSED,
    RULES,
    WEIGHED,
    Adjoint,
)
from nisp.writes import is_own, outdate_others, puts_back, refuse_outdated, target_of


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

    source    where the backward pass ends: all that the input is turned into depends on it
    behind    input of a batch norm -> its output
    readers   how many operations read a response
    products  outputs of matrix products with a parameter
    made      all responses, to be turned into plain tensors where the network keeps them
    """

    measuring: bool
    weighings: list[Weighing] = field(default_factory=list)
    source: Signal = field(default_factory=lambda: Signal(torch.zeros((), dtype=torch.float64).requires_grad_()))
    behind: dict[Signal, Signal] = field(default_factory=dict)
    readers: Counter[Signal] = field(default_factory=Counter)
    products: list[Signal] = field(default_factory=list)
    made: "list[weakref.ref[Response]]" = field(default_factory=list)

    def begun(self, values: Tensor) -> "Response":
        """A response that depends on nothing before it: an input of the network, or an inert value."""
        with torch.enable_grad():
            [path] = _Edge.apply(lambda *scores: [None], [0], [values], self.source.path)
        inert = not values.is_floating_point()
        return Response.of(values.as_subclass(Tensor), Signal(path), self, inert=inert)

    def ended(self) -> None:
        """Turn the responses that are still alive into plain tensors."""
        for reference in self.made:
            response = reference()
            if response is not None:
                response.__class__ = Tensor  # type: ignore[assignment]
                response.__dict__.clear()


class Unmeasured(Exception):
    """Raised where a rule needs values in a pass that does not compute them."""


class Response(Tensor):
    """Values of the real network that depend on its input, and their ``signal`` in the absolute network."""

    signal: Signal
    run: Pass
    inert: bool
    sharing: "list[weakref.ref[Response]]"
    outdated: "tuple[str, Response] | None" = None
    """The operation that wrote into memory of this response, and the part of it that has the written path."""

    @staticmethod
    def of(
        values: Tensor, signal: Signal, run: Pass, viewed: "Response | None" = None, inert: bool = False
    ) -> "Response":
        """``values`` as a response; ``viewed`` is a response whose memory it shares."""
        response = values.as_subclass(Response)
        response.signal = signal
        response.run = run
        response.inert = inert
        response.sharing = [] if viewed is None else viewed.sharing
        response.sharing.append(weakref.ref(response))
        run.made.append(response.sharing[-1])
        return response

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        func = public(func, KNOWN)
        if func in (Tensor.__repr__, Tensor.__format__):
            return func(*mapped(args, lambda tensor: tensor.as_subclass(Tensor)), **kwargs)
        if func in BRANCHES:
            raise UserError(f"NISP cannot follow {resolve_name(func)}: the network branches on values of its responses")
        if func in COMPOSED:
            return COMPOSED[func](*args, **kwargs)
        with torch._C.DisableTorchFunctionSubclass(), torch._C._DisableTorchDispatch():
            live = [response for response in responses_in((args, kwargs)) if not response.inert]
            if live:
                target = target_of(func, args)
                if target is not None and not any(target is response for response in live):
                    _begin(func, target, live[0].run)
                args, kwargs = mapped((args, kwargs), _constant_if_inert)
            elif not (func in WEIGHED and isinstance(args[0], Response)):
                return _inert(func, args, kwargs)
            if func not in RULES:
                return _constant(func, args, kwargs)
            return _applied(func, args, kwargs)


def _applied(func: Any, args: Any, kwargs: Any) -> Any:
    """The function's result, with the paths that its rule gives."""
    adjoint = RULES[func](*args, **kwargs)
    if adjoint is None:
        return _unmoved(func, args, kwargs)
    gain = GAINS[func](*args, **kwargs) if func in GAINS else 1.0
    sources = responses_in((args, kwargs))
    if not puts_back(func, args):
        for source in sources:
            refuse_outdated(source)
    target = target_of(func, args)
    if kwargs.get("out") is not None:
        raise UserError(f"NISP has no rule for {getattr(func, '__name__', '')} with out=")
    versions = [_version(source) for source in sources]
    read, run = sources[0].signal, sources[0].run
    values = _shaped(func, args, kwargs) if func in WEIGHED and not run.measuring else func(*args, **kwargs)
    if not (len(sources) == 1 and _is_identity(func)):
        by_argument = [s for s, version in zip(sources, versions, strict=True) if _version(s) != version]  # ``inplace``
        for written in by_argument if target is None else [target]:
            if isinstance(written, Response):
                outdate_others(func, written)
    made = _carried(args[0] if values is None else values, adjoint, gain, sources)
    if func in WEIGHED:
        run.weighings.append(Weighing(args[1] if len(args) > 1 else kwargs["weight"], read, made.signal))
    elif func in NORMS:
        run.behind[read] = made.signal
    elif func in PRODUCTS and any(isinstance(argument, torch.nn.Parameter) for argument in args):
        run.products.append(made.signal)
    return made


def _constant_if_inert(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor) if isinstance(tensor, Response) and tensor.inert else tensor


def _inert(func: Any, args: Any, kwargs: Any) -> Any:
    """An operation on inert values runs unchanged, and what it computes from them is inert."""
    run = responses_in((args, kwargs))[0].run
    values = func(*mapped(args, _constant_if_inert), **mapped(kwargs, _constant_if_inert))
    if func in CONSTANTS or (getattr(func, "__name__", "") == "__get__" and not isinstance(values, Tensor)):
        return values

    def wrapped(tensor: Tensor) -> Response:
        response = run.begun(tensor)
        response.inert = True
        return response

    return mapped(values, wrapped)


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
    """The result of an operation without a path: a shape, an attribute, or, where values are compared, inert values."""
    if func in COMPARISONS:
        responses = responses_in((args, kwargs))
        values = func(*mapped(args, measured), **mapped(kwargs, measured))
        return mapped(values, responses[0].run.begun)
    getter = getattr(func, "__name__", "") == "__get__"
    if func in CONSTANTS or getter:
        values = func(*args, **kwargs)
        if not getter or not isinstance(values, Tensor):
            return values
    reason = f": {REFUSED[func]}" if func in REFUSED else ""
    raise UserError(
        f"NISP has no rule for the operation {resolve_name(func) or getattr(func, '__qualname__', func)}{reason}"
    )


def _unmoved(func: Any, args: Any, kwargs: Any) -> Any:
    """The result of an operation that no small change of a response changes."""
    values = func(*args, **kwargs)
    if isinstance(values, Tensor) and not values.is_floating_point():
        return responses_in((args, kwargs))[0].run.begun(values)
    return values


def measured(response: Tensor) -> Tensor:
    """The real values of a response or a constant; raises Unmeasured if its pass does not compute them."""
    if isinstance(response, Response) and not response.run.measuring:
        raise Unmeasured
    return response.detach().as_subclass(Tensor)


def _shaped(func: Any, args: Any, kwargs: Any) -> Tensor:
    """Zeros of the shape that a layer would compute; under autocast, which changes their precision, it is computed."""
    if torch.is_autocast_enabled(args[0].device.type):
        return func(*args, **kwargs)  # type: ignore[no-any-return]
    shape = func(*mapped(args, lambda t: t.as_subclass(Tensor).to("meta")), **mapped(kwargs, lambda t: t.to("meta")))
    return torch.zeros_like(shape, device=args[0].device)


def _carried(values: Any, adjoint: Adjoint, gain: float, sources: Sequence[Response]) -> Any:
    """The outputs as responses; integers and booleans, such as indices of maxima, are inert."""
    outputs = [values] if isinstance(values, Tensor) else list(values)
    floating = [output for output in outputs if output.is_floating_point()]
    if len(floating) < len(outputs):
        measured(sources[0])
    for source in sources:
        source.run.readers[source.signal] += 1
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
            outputs[index] = sources[0].run.begun(output)
    return outputs[0] if isinstance(values, Tensor) else type(values)(outputs)


def _version(tensor: Tensor) -> int:
    """Counts the writes into a tensor."""
    return 0 if tensor.is_inference() else tensor._version


def _begin(func: Any, target: Tensor, run: Pass) -> None:
    """Make the constant ``target``, into which a response is written, a response that depends on nothing before."""
    if isinstance(target, Response):
        target.inert = False
        return
    if not (is_own(target) and target.is_floating_point()):
        raise UserError(
            f"NISP has no rule for {getattr(func, '__name__', func)}, which writes a response into a constant tensor "
            "that is a parameter or shares its memory"
        )
    begun = run.begun(target)
    target.__class__ = Response
    target.__dict__.update(begun.__dict__)
    target.sharing = [weakref.ref(target)]  # type: ignore[attr-defined]
    run.made.append(target.sharing[0])  # type: ignore[attr-defined]


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
