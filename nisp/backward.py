"""NISP's single backward pass: takes the scores of the final responses, and calls listeners with tensors' scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from nisp.classifiers import classifiers_of, reached
from nisp.errors import UserError
from nisp.network import Trace, traced
from nisp.pruning.contract import channel_axis
from nisp.pruning.inputs import Inputs
from nisp.pruning.wrappers import unwrapped
from nisp.signals import Signal, undivided

Hears = Callable[[int, float, Tensor], Tensor | None]
"""(index in the list of signals, factor, gradient) -> gradient for the layers before; None leaves it unchanged.

The score of the signal is factor times gradient.
"""


@dataclass(frozen=True)
class BackwardPass:
    """A network that has run once on an example, ready for the scores of its final responses.

    classifiers  names of the layers whose inputs, concatenated, are the final responses
    """

    model: nn.Module
    trace: Trace
    classifiers: tuple[str, ...]

    @staticmethod
    def of(model: nn.Module, example: Inputs, classifier: str | Sequence[str] | None = None) -> "BackwardPass":
        """Run ``model`` on ``example``, inputs of shape (n, ...); None finds the classifier.

        UserError if an operation has no rule, if a classifier is not a layer that runs, or if the final responses
        depend on none of the other layers.
        """
        model = unwrapped(model)
        trace = traced(model, example)
        names = classifiers_of(trace) if classifier is None else classifier
        names = (names,) if isinstance(names, str) else tuple(names)
        for name in names:
            if name not in trace.runs:
                raise UserError(f"'{name}' is not a convolution or linear layer that the network runs")
        if trace.runs.keys() != set(names) and not reached(trace, names):
            raise UserError(
                f"the final responses, inputs of {', '.join(names)}, depend on no layer of {type(model).__name__} "
                "except in steps, as through a mask"
            )
        return BackwardPass(model, trace, names)

    @property
    def level(self) -> int:
        """The power of two that gradients are relative to (nisp.signals)."""
        return max(final.level for reads in self._finals for final in reads)

    @property
    def _finals(self) -> list[list[Signal]]:
        """Per classifier, what it reads in each of its calls."""
        return [[run.read for run in self.trace.runs[name]] for name in self.classifiers]

    def listen(self, signals: Sequence[Signal], hears: Hears) -> None:
        """Call ``hears`` when the score of one of ``signals`` arrives; their factors share one power of two."""
        for place, (signal, factor) in enumerate(zip(signals, undivided(signals, self.level), strict=True)):
            signal.path.register_hook(partial(hears, place, factor))

    def run(self, frl_scores: Tensor) -> None:
        """Send the scores of the final responses, shape (features,), through the network once.

        UserError unless there is one score per final response.
        """
        axes = [channel_axis(self.model.get_submodule(name)) for name in self.classifiers]
        sizes = [reads[0].path.shape[axis] for reads, axis in zip(self._finals, axes, strict=True)]
        if frl_scores.shape != (sum(sizes),):
            raise UserError(f"{frl_scores.numel()} scores were given for {sum(sizes)} final responses")
        finals, starts = [], []
        parts = frl_scores.detach().double().split(sizes)
        for reads, axis, part in zip(self._finals, axes, parts, strict=True):
            for final in reads:
                start = part.to(final.path.device) * (2.0 ** (final.level - self.level) / len(final.path))
                if axis == 1:
                    start = start.reshape(-1, *[1] * (final.path.dim() - 2))
                finals.append(final.path)
                starts.append(start.expand(final.path.shape))
        with torch.inference_mode(False):
            torch.autograd.grad(finals, self.trace.source.path, starts, allow_unused=True)


def per_output(score: Tensor, axis: int) -> Tensor:
    """Sum over all dimensions except the one of the layer's outputs."""
    return score.movedim(axis, 0).flatten(1).sum(1)


def checked(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same scores; UserError if any is not finite."""
    for name, values in found.items():
        if not values.isfinite().all():
            raise UserError(f"the scores of {name} are not finite; check that the responses to the example are finite")
    return found
