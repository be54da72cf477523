"""A forward pass on channel ids instead of numbers.

Each value of an activation is replaced by the id of the channel that it belongs to. A convolution or linear layer gives
each of its outputs a new id. An operation that moves values (reshape, concat, channel shuffle, windows) moves their
ids. Adding or multiplying two activations *ties* the ids that meet. The ids that a layer reads show which columns of
its weight belong to a channel. So the network's own code is the graph, and no architecture is known by name.

A channel is *fixed*, never to be removed, if removing it would change the rest of the network: the network's outputs,
channels that a norm or a sum mixes without weights, and everything that an operation without a rule reads. An operation
without a rule costs prunable channels, never correctness.
"""

import contextlib
import os
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import resolve_name
from torch.utils._pytree import tree_flatten

import nisp.pruning.channels.rules  # noqa: F401  fills the table
from nisp.errors import first_line
from nisp.pruning.channels.choices import Site
from nisp.pruning.channels.counts import counted
from nisp.pruning.channels.dtypes import with_type
from nisp.pruning.channels.ids import Ids, fixed_ids, following, unique
from nisp.pruning.channels.labels import components
from nisp.pruning.channels.smaller import smaller
from nisp.pruning.channels.table import CHANNEL_RULES, SHAPED, opaque
from nisp.pruning.channels.ties import FIXED, Unfit
from nisp.pruning.channels.weights import Weights
from nisp.pruning.dispatch import TO_PYTHON, Dispatched, public
from nisp.pruning.inputs import Inputs, called, each_tensor, precision_of
from nisp.pruning.outputs import tensors_in

_SKIPPED = (f"{Path(torch.__file__).parent}{os.sep}", f"{Path(__file__).parent}{os.sep}")


class ChannelPass(Weights):
    """One pass on ids. Without ``kept`` it is the first, which finds ties and cuts.

    With ``kept`` (bool per id of the pass ``first``: is it left?) only the ids that are left flow, and the pass checks
    that each layer still reads exactly what is left of its inputs. This detects a reshape or slice that relies on the
    old number of channels.
    """

    first: "ChannelPass | None"

    def __init__(self, model: nn.Module, first: "ChannelPass | None" = None, kept: np.ndarray | None = None) -> None:
        super().__init__(model, first, kept)
        self.dtype = precision_of(model, torch.get_default_dtype())
        self.met: set[str] = set()
        self.operations: list[tuple[Site | None, np.ndarray]] = []
        self.dormant: set[str] = set()
        self.made: list[weakref.ref[Tensor]] = []
        self.comparisons: list[tuple[np.ndarray, bool]] = []
        self.settled = False

    def run(self, model: nn.Module, example: Inputs) -> None:
        """Send ids through ``model``, which must be in eval mode; its outputs become fixed.

        If some layers do not run then (auxiliary heads), the modules that hold them run again in training mode.
        """
        left = {} if self.first is None else {cut: self._kept(ids) for cut, ids in self.first.reads.items()}
        used = set() if self.first is None else self.first.constants.used
        with smaller(self.names, left, used):
            self._forward(model, example)
            ran = self.met | self.constants.used
            self.dormant = self.names.layer_weights - ran if self.first is None else self.first.dormant
            if self.dormant:
                self._forward_in_training(model, example)
        if self.first is None:
            self._settle()

    def _forward_in_training(self, model: nn.Module, example: Inputs) -> None:
        names = {".".join(name.split(".")[:end]) for name in self.dormant for end in range(name.count(".") + 1)}
        holders = [model.get_submodule(name) for name in names]
        for module in holders:
            module.training = True
        try:
            self._forward(model, example)
        except Unfit as error:
            if self.first is not None:
                raise
            layers = sorted(name.rpartition(".")[0] for name in self.dormant)
            raise Unfit(
                f"{', '.join(layers[:3])}{', ...' if len(layers) > 3 else ''} do not run in eval mode, and what they "
                f"read in training mode is unknown, because that fails ({error}): remove them first"
            ) from error
        finally:
            for module in holders:
                module.training = False

    def _forward(self, model: nn.Module, example: Inputs) -> None:
        try:
            with torch.no_grad(), following(self), Dispatched(Ids):
                outputs = called(model, each_tensor(example, lambda t: fixed_ids(t.shape, t.device, t.dtype)))
            found = [tensor for tensor in tensors_in(outputs) if isinstance(tensor, Ids)]
            if not found:
                raise Unfit("it returns nothing that depends on its input through operations that can be followed")
            for ids in found:
                self.fix(unique(ids.as_subclass(Tensor)), "is an output of the network")
        except Unfit:
            raise
        except Exception as error:
            if self.first is not None:
                with torch._C.DisableTorchFunctionSubclass(), contextlib.suppress(Unfit):
                    self._blame()
            raise Unfit(
                f"{resolve_name(self.trail[-1])}: {first_line(error)}" if self.trail else first_line(error)
            ) from error
        finally:
            self._end()

    def _end(self) -> None:
        """Turn the ids that the network keeps into plain tensors."""
        for reference in self.made:
            ids = reference()
            if ids is not None:
                ids.__class__ = Tensor
                ids.__dict__.clear()
        self.made.clear()

    def _settle(self) -> None:
        """Give tied ids the same label, and note which labels may be removed: not those of all that a layer reads."""
        for cut, operation in self.constants.mixed.items():
            if cut in self.reads:
                self.fix(self.reads[cut], f"is mixed with others where the network computes its weights ({operation})")
        self.labels = components(self.count + 1, np.concatenate([np.zeros((0, 2), dtype=np.int64), *self.tied]))
        self.choices.early = np.isin(self.labels, self.labels[[FIXED, *self.reasons]])
        for ids in self.reads.values():
            if (ids != ids[0]).any() and (self.labels[ids] == self.labels[ids[0]]).all():
                self.fix(ids, "can only be removed with all the other channels of its layer")
        self.movable = np.ones(self.labels.max() + 1, dtype=bool)
        self.movable[self.labels[[FIXED, *self.reasons]]] = False
        self.settled = True

    def apply(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Apply the rule of one operation."""
        func = public(func, CHANNEL_RULES)
        if func in TO_PYTHON:
            raise Unfit(f"it branches on values of its activations ({resolve_name(func)})")
        body = CHANNEL_RULES.get(func)
        if body is None and getattr(func, "__name__", "") == "__get__":
            return func(*args, **kwargs)
        site = self.site = _site() if body in SHAPED else None
        leaves = tree_flatten((args, kwargs))[0]
        if self.first is None:
            met = [unique(leaf) for leaf in leaves if isinstance(leaf, Ids)]
            self.operations.append((site, np.concatenate(met)))
            self.met.update(name for leaf in leaves if (name := self.names.of(leaf)))
        self.trail.append(func)
        result = with_type(func, args, kwargs, (body or opaque)(self, func, *args, **kwargs))
        self.made += [weakref.ref(leaf) for leaf in [*leaves, *tree_flatten(result)[0]] if isinstance(leaf, Ids)]
        return result

    def _blame(self) -> None:
        """Fix the channels at the operation that failed; if it reshapes or splits, at every call from that code line.

        If all of these are fixed already, go back to the last operation that read any other channel.
        """
        assert self.first is not None
        reads = self.first.reads
        for ids in [*self.constants.failed_ids, *(reads[cut] for cut in self.constants.failed if cut in reads)]:
            self.fix(ids, "belongs to weights whose size the network relies on")
        for func, (site, met) in reversed(list(zip(self.trail, self.first.operations, strict=False))):
            alike = [ids for place, ids in self.first.operations if place == site] if site else [met]
            self.fix(np.concatenate(alike), f"is relied on by {resolve_name(func)}")

    def counted(self, ids: Tensor, size: int) -> int:
        """``size``, a number that depends on how many channels lie in ``ids``; it reports what is done with it."""
        return counted(size, unique(ids), self)

    def used(self, ids: np.ndarray) -> None:
        """A number of channels was used as a value: these must stay."""
        if self.first is None and not self.settled:
            self.fix(ids, "is counted, and the network computes with their number")

    def compared(self, ids: np.ndarray, outcome: bool) -> None:
        """A number of channels was compared: the outcome must be that of the first pass; torch only checks."""
        if self.settled or sys._getframe(2).f_code.co_filename.startswith(_SKIPPED):
            return
        self.comparisons.append((ids, outcome))
        if self.first is not None:
            before = self.first.comparisons[len(self.comparisons) - 1 :][:1]
            if not before or before[0][1] != outcome:
                met = [ids, *(first for first, _ in before)]
                self.fix(np.concatenate(met), "is counted, and the network compares their number")


def _site() -> tuple[str, int]:
    """File and line of the network's code that calls the current operation."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SKIPPED):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
