"""Tensors that a network computes from its parameters and buffers alone: which parameter lies along which dimension.

A frozen batch norm multiplies with ``weight * (variance + eps).rsqrt()``, reshaped; a layer may read a cast, scaled or
transposed weight. What is cut then are the parameters behind the tensor. Each such operation is run again on random
values (`nisp.pruning.channels.probing`): a dimension of a parameter that it hands on, index by index, stays known; one
that it sums over, sorts, slices or merges is *mixed*, and the channels that it belongs to stay.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map

from nisp.pruning.channels.counts import VALUED, report_values
from nisp.pruning.channels.ids import Ids, claimed, unique
from nisp.pruning.channels.names import Names, WeightAxis
from nisp.pruning.channels.probing import Probe
from nisp.pruning.channels.table import named
from nisp.pruning.dispatch import TO_PYTHON

_ELSE = ("", 0)
"""Stands among a dimension's parameters for anything else that lies along it."""


class Origin(NamedTuple):
    """What lies along each dimension of a constant tensor.

    along   per dimension, the parameter dimensions that belong to it index by index
    silent  per dimension, whether an index is zero if the layer weights behind it are, where they read channels
    """

    along: tuple[frozenset[WeightAxis], ...]
    silent: tuple[bool, ...]


class Computed(NamedTuple):
    """One operation on constants, and the origins of its outputs."""

    func: Callable[..., Any]
    outputs: list[Origin]


_SHAPED_LIKE = {Tensor.expand_as, Tensor.view_as, Tensor.reshape_as, Tensor.type_as, Tensor.to}
"""Operations whose second tensor only gives a shape or a type."""

_FILLED = set(named(
    "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_full new_empty"
))  # fmt: skip
"""Operations that take only the shape of their tensor."""


class Constants(TorchFunctionMode):
    """While open, follows operations on parameters, buffers and what is computed from them.

    In a later pass, the parameters that were used so are smaller, and each operation has the origins that it had in the
    first pass, ``first``.

    mixed  parameter dimensions whose indices meet one another -> the operation
    used   names of the parameters and buffers that operations on constants read
    activations  class of the tensors that stand for activations
    failed, failed_ids  parameter dimensions and channels that an operation met whose shapes did not fit
    """

    def __init__(
        self,
        names: Names,
        first: "Constants | None" = None,
        read: Iterable[WeightAxis] = (),
        activations: type[Tensor] = Ids,
    ) -> None:
        super().__init__()
        self._activations = activations
        self._names, self._first, self._read = names, first, set(read)
        self._known: dict[int, tuple[Tensor, Origin]] = {}
        self._step = 0
        self.record: list[Computed] = []
        self.mixed: dict[WeightAxis, str] = {}
        self.used: set[str] = set()
        self.failed: set[WeightAxis] = set()
        self.failed_ids: list[np.ndarray] = []

    def __enter__(self) -> "Constants":
        self._known = {}
        return super().__enter__()  # type: ignore[no-any-return]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._known = {}

    def along(self, tensor: Tensor, dim: int) -> list[WeightAxis]:
        """The parameter dimensions that belong to ``dim`` index by index, weights of layers first; maybe none."""
        origin = self._origin(tensor)
        found = frozenset() if origin is None else origin.along[dim]
        weights = self._names.layer_weights
        return [] if _ELSE in found else sorted(found, key=lambda cut: (cut[0] not in weights, cut))

    def silent(self, tensor: Tensor, dim: int) -> bool:
        """Whether an index along ``dim`` is zero if layer weights read nothing there."""
        origin = self._origin(tensor)
        return origin is not None and origin.silent[dim]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation; if it is on constants only, note where its results come from."""
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Ids)]
        if given and func in _SHAPED_LIKE and not isinstance(args[0], Ids):
            args, kwargs = tree_map(_shape_only, (args, kwargs))
        if func in VALUED:
            report_values(args, kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if any(isinstance(tensor, Ids | self._activations) for tensor in tensors):
            return func(*args, **kwargs)
        if func in _SHAPED_LIKE:
            tensors = tensors[:1]
        elif func in _FILLED:
            tensors = []
        known = [tensor for tensor in tensors if self._origin(tensor) is not None]
        self.used.update(name for tensor in known if (name := self._names.of(tensor)))
        try:
            result = func(*args, **kwargs)
        except Exception:
            self.failed.update(self._cuts(known))
            with torch._C.DisableTorchFunctionSubclass():
                self.failed_ids.extend(unique(ids) for ids in given)
            raise
        if not known:
            return result
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if outputs:
            self._follow(func, args, kwargs, tensors, outputs)
        elif func in TO_PYTHON or getattr(func, "__name__", "") == "__setitem__":
            self._mix(self._cuts(known), func)
        return result

    def _follow(self, func: Any, args: Any, kwargs: Any, tensors: list[Tensor], outputs: list[Tensor]) -> None:
        if self._first is None:
            origins = self._measured(func, args, kwargs, tensors, outputs)
            self.record.append(Computed(func, origins))
        else:
            done = self._first.record[self._step : self._step + 1]
            if not done or done[0].func != func or len(done[0].outputs) != len(outputs):
                self.failed.update(self._cuts(tensors))
                raise RuntimeError("the network computes its weights in another way once pruned")
            origins = done[0].outputs
            self._step += 1
        for output, origin in zip(outputs, origins, strict=True):
            if self._names.of(output) is None:
                self._known[id(output)] = output, origin

    def _measured(
        self, func: Any, args: Any, kwargs: Any, tensors: list[Tensor], outputs: list[Tensor]
    ) -> list[Origin]:
        """The origins of the outputs, found on random values; an operation that cannot be run on these mixes all."""
        cuts = self._cuts(tensors)
        changes_a_parameter = any(self._names.of(output) and output.dim() for output in outputs if output is args[0])
        try:
            probe = Probe(func, args, kwargs) if cuts else None
        except Exception:
            probe = None
        nothing = [Origin((frozenset(),) * output.dim(), (False,) * output.dim()) for output in outputs]
        if probe is None or [o.shape for o in probe.outputs] != [o.shape for o in outputs]:
            self._mix(cuts, func)
            return nothing
        if changes_a_parameter and getattr(func, "__name__", "").endswith("_"):
            self._mix(cuts, func)
        return self._origins(func, probe, tensors)

    def _origins(self, func: Any, probe: Probe, tensors: list[Tensor]) -> list[Origin]:
        along: list[list[set[WeightAxis]]] = [[set() for _ in output.shape] for output in probe.outputs]
        sources: list[list[list[tuple[Tensor, int]]]] = [[[] for _ in output.shape] for output in probe.outputs]
        for tensor, dim, cuts, silent in self._axes(tensors):
            shapes = [output.shape for output in probe.outputs]
            meets = any(
                each and shape[e] == tensor.size(dim)
                for dims, shape in zip(along, shapes, strict=True)
                for e, each in enumerate(dims)
            )
            if not cuts and not meets:
                continue
            places = probe.aligned(tensor, dim)
            if None in places:
                self._mix(cuts, func)
            for output, place in enumerate(places):
                if place is not None:
                    along[output][place] |= cuts or {_ELSE}
                    if silent:
                        sources[output][place].append((tensor, dim))
        for each in [each for dims in along for each in dims if _ELSE in each]:
            self._mix(each, func)
        zeros = [
            tuple(bool(zeroed) and probe.vanishes(zeroed, output, dim) for dim, zeroed in enumerate(dims))
            for output, dims in enumerate(sources)
        ]
        return [
            Origin(tuple(frozenset() if _ELSE in each else frozenset(each) for each in dims), silent)
            for dims, silent in zip(along, zeros, strict=True)
        ]

    def _axes(self, tensors: list[Tensor]) -> list[tuple[Tensor, int, frozenset[WeightAxis], bool]]:
        """Each dimension of the tensors, its parameters and whether it is silent; those without parameters last."""
        found = []
        for tensor in {id(tensor): tensor for tensor in tensors}.values():
            origin = self._origin(tensor)
            for dim, size in enumerate(tensor.shape):
                cuts = frozenset() if origin is None or self._is_kernel(tensor, dim) else origin.along[dim]
                cuts -= self.mixed.keys()  # these stay anyway
                if cuts or size > 1:
                    found.append((tensor, dim, cuts, origin is not None and origin.silent[dim]))
        return sorted(found, key=lambda axis: not axis[2])

    def _is_kernel(self, tensor: Tensor, dim: int) -> bool:
        """Whether positions, which are never removed, lie along ``dim`` of a layer's weight."""
        return dim > 1 and self._names.of(tensor) in self._names.layer_weights

    def _origin(self, tensor: Tensor) -> Origin | None:
        name = self._names.of(tensor)
        if name is None:
            return self._known[id(tensor)][1] if id(tensor) in self._known else None
        cuts = [(name, dim) for dim in range(tensor.dim())]
        return Origin(
            tuple(
                frozenset({cut}) if size > 1 or cut in self._read else frozenset()
                for cut, size in zip(cuts, tensor.shape, strict=True)
            ),
            tuple(self._names.reads_along(*cut) for cut in cuts),
        )

    def _cuts(self, tensors: Iterable[Tensor]) -> set[WeightAxis]:
        found = (self._origin(tensor) for tensor in tensors)
        return {cut for origin in found if origin is not None for cuts in origin.along for cut in cuts}

    def _mix(self, cuts: Iterable[WeightAxis], func: Any) -> None:
        for cut in cuts:
            if cut != _ELSE:
                self.mixed.setdefault(cut, resolve_name(func) or getattr(func, "__name__", str(func)))


def _shape_only(value: Any) -> Any:
    """An activation as a tensor of its shape and type; anything else unchanged."""
    if not isinstance(value, Ids):
        return value
    return torch.zeros((), dtype=claimed(value), device=value.device).expand(value.shape)
