"""Scores of every layer of any network, in one call."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from nisp.errors import UserError
from nisp.inf_fs import inf_fs
from nisp.network import Trace, classifiers_of, traced
from nisp.pruning.contract import channel_axis, evaluating
from nisp.responses import final_responses
from nisp.signals import undivided

BATCH = 32


def scores(
    model: nn.Module,
    example_input: Tensor,
    *,
    frl_scores: Tensor | None = None,
    calibration: Tensor | None = None,
    classifier: str | Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """NISP score of every output channel of every convolution and linear layer: layer name -> (channels,), float64.

    example_input  inputs of shape (n, ...). Where the bound of an operation depends on the responses (attention, gates,
                   layer norm), they are those to these inputs, and scores are means over them; one real image will do
    frl_scores     importance of each final response, shape (features,); or else
    calibration    inputs of shape (m, ...), m >= 2, by whose final responses Inf-FS ranks them
    classifier     name of the layer whose inputs are the final responses. None finds it: the layer that the network's
                   output comes from, be it linear or a convolution. With several heads, the final responses are what
                   the first reads, then the second, ... (`nisp.final_layers` lists them)

    A channel's score is the sum over the positions of its map, taken behind the batch norm that directly follows its
    layer, if any, and over all runs of a layer that runs several times. Layers that the final responses do not depend
    on have no entry: the classifier itself, auxiliary heads, what works on constants only. Scores that would exceed
    2^900 are divided by a power of two, one for each layer. The model is left as it was.

    UserError for an operation without a rule, an output that comes from no classifier, scores that are not one per
    final response, or not exactly one of ``frl_scores`` and ``calibration``.

    >>> import torch, nisp
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.Linear(5, 2))
    >>> found = nisp.scores(model, torch.randn(1, 3, 8, 8), frl_scores=torch.ones(5))
    >>> {name: tuple(values.shape) for name, values in found.items()}
    {'0': (4,), '3': (5,)}
    >>> found["3"].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    if (frl_scores is None) == (calibration is None):
        raise UserError("give either frl_scores, or calibration images to compute them from")
    trace = traced(model, example_input)
    if classifier is None:
        classifier = classifiers_of(trace)
    if calibration is not None:
        with evaluating(model):
            frl_scores = inf_fs(final_responses(model, calibration, classifier, BATCH))
    found: dict[str, Tensor] = {}

    def arrived(name: str, axis: int, factor: float, score: Tensor) -> None:
        sums = per_output(score, axis).cpu() * factor
        found[name] = found[name] + sums if name in found else sums

    level = final_level(trace, classifier)
    for name, runs in trace.runs.items():
        axis = channel_axis(model.get_submodule(name))
        for run, factor in zip(runs, undivided([run.wrote for run in runs], level), strict=True):
            run.wrote.path.register_hook(partial(arrived, name, axis, factor))
    propagate_from(trace, model, classifier, frl_scores)  # type: ignore[arg-type]
    return checked({name: found[name] for name in trace.runs if name in found})


def checked(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same scores; UserError if any is not finite."""
    for name, values in found.items():
        if not values.isfinite().all():
            raise UserError(f"the scores of {name} are not finite: are the network's responses to the example?")
    return found


def final_level(trace: Trace, classifier: str | Sequence[str]) -> int:
    """The level that gradients are relative to.

    UserError if a classifier is no layer that runs.
    """
    names = [classifier] if isinstance(classifier, str) else classifier
    for name in names:
        if name not in trace.runs:
            raise UserError(f"'{name}' is no convolution or linear layer that the network runs")
    return max(trace.runs[name][-1].read.level for name in names)


def propagate_from(trace: Trace, model: nn.Module, classifier: str | Sequence[str], frl_scores: Tensor) -> None:
    """Send the scores of the final responses, shape (features,), through a trace once; its paths' hooks see them.

    UserError if they are not one per final response.
    """
    names = [classifier] if isinstance(classifier, str) else classifier
    level = final_level(trace, names)
    finals = [trace.runs[name][-1].read for name in names]
    axes = [channel_axis(model.get_submodule(name)) for name in names]
    sizes = [final.path.shape[axis] for final, axis in zip(finals, axes, strict=True)]
    if frl_scores.shape != (sum(sizes),):
        raise UserError(f"{len(frl_scores)} scores were given for {sum(sizes)} final responses")
    starts = []
    for final, axis, part in zip(finals, axes, frl_scores.detach().to(finals[0].path).split(sizes), strict=True):
        start = part * (2.0 ** (final.level - level) / len(final.path))
        if axis == 1:
            start = start.reshape(-1, *[1] * (final.path.dim() - 2))
        starts.append(start.expand(final.path.shape))
    torch.autograd.grad([final.path for final in finals], trace.source.path, starts, allow_unused=True)


def per_output(score: Tensor, axis: int) -> Tensor:
    """Sum over all dimensions but the layer's outputs'."""
    return score.movedim(axis, 0).flatten(1).sum(1)
