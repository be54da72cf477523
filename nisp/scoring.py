"""Scores of every layer of any network, in one call."""

from functools import partial

import torch
from torch import Tensor, nn

from bench.errors import UserError
from nisp.inf_fs import inf_fs
from nisp.network import Trace, channel_axis, classifier_of, evaluating, traced
from nisp.responses import final_responses

BATCH = 32


def scores(
    model: nn.Module,
    example_input: Tensor,
    *,
    frl_scores: Tensor | None = None,
    calibration: Tensor | None = None,
    classifier: str | None = None,
) -> dict[str, Tensor]:
    """NISP score of every output channel of every convolution and linear layer: layer name -> (channels,), float64.

    example_input  inputs of shape (n, ...). Where the bound of an operation depends on the responses (attention, gates,
                   layer norm), they are those to these inputs, and scores are means over them; one is enough
    frl_scores     importance of each final response, shape (features,); or else
    calibration    inputs of shape (m, ...), m >= 2, by whose final responses Inf-FS ranks them
    classifier     name of the layer whose inputs are the final responses. None finds it: the layer that the network's
                   output comes from, be it linear or a convolution

    A channel's score is the sum over the positions of its map, taken behind the batch norm that directly follows its
    layer, if any, and over all calls of a layer that runs several times. Layers that the final responses do not depend
    on have no entry: the classifier itself, auxiliary heads, what only works on constants. The model is left as it was.

    UserError for an operation without a rule, several classifiers of which none is named, scores that are not one per
    final response, or not exactly one of ``frl_scores`` and ``calibration``.

    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.ReLU(), nn.Linear(5, 2))
    >>> found = scores(model, torch.randn(1, 3, 8, 8), frl_scores=torch.ones(5))
    >>> {name: tuple(values.shape) for name, values in found.items()}
    {'0': (4,), '3': (5,)}
    >>> found["3"].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    if (frl_scores is None) == (calibration is None):
        raise UserError("give either frl_scores, or calibration images to compute them from")
    trace = traced(model, example_input)
    classifier = classifier_of(trace) if classifier is None else classifier
    if frl_scores is None:
        with evaluating(model):
            frl_scores = inf_fs(final_responses(model, calibration, classifier, BATCH))  # type: ignore[arg-type]
    found: dict[str, Tensor] = {}

    def arrived(name: str, axis: int, score: Tensor) -> None:
        sums = per_output(score, axis).cpu()
        found[name] = found[name] + sums if name in found else sums

    for name, paths in trace.writes.items():
        for path in paths:
            path.register_hook(partial(arrived, name, channel_axis(model.get_submodule(name))))
    propagate_from(trace, model, classifier, frl_scores)
    return {name: found[name] for name in trace.writes if name in found}


def propagate_from(trace: Trace, model: nn.Module, classifier: str, frl_scores: Tensor) -> None:
    """Send the scores of the final responses, shape (features,), through a trace once; its paths' hooks see them.

    UserError if ``classifier`` did not run, or reads another number of responses.
    """
    if classifier not in trace.reads:
        raise UserError(f"'{classifier}' is no convolution or linear layer that the network runs")
    final = trace.reads[classifier][-1]
    axis = channel_axis(model.get_submodule(classifier))
    if frl_scores.shape != (final.shape[axis],):
        raise UserError(f"{len(frl_scores)} scores were given for {final.shape[axis]} final responses")
    start = frl_scores.detach().to(final).movedim(0, -1) / len(final)
    start = start.reshape(-1, *[1] * (final.dim() - 2)) if axis == 1 else start
    torch.autograd.grad(final, trace.source, start.expand(final.shape), allow_unused=True)


def per_output(score: Tensor, axis: int) -> Tensor:
    """Sum over all dimensions but the layer's outputs'."""
    return score.movedim(axis, 0).flatten(1).sum(1)
