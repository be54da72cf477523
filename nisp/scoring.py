"""NISP scores of every layer of a network, in one call."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from nisp.backward import BackwardPass, checked, per_output
from nisp.errors import UserError
from nisp.pruning.contract import channel_axis
from nisp.pruning.inputs import Inputs
from nisp.pruning.undisturbed import undisturbed
from nisp.rankings.inf_fs import inf_fs
from nisp.responses import final_responses

BATCH = 32


def scores(
    model: nn.Module,
    example_input: Inputs,
    *,
    frl_scores: Tensor | None = None,
    calibration: Inputs | None = None,
    classifier: str | Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """NISP score of every output channel of every convolution and linear layer: layer name -> (channels,), float64.

    example_input  inputs of shape (n, ...). Where the bound of an operation depends on the responses (attention, gates,
                   layer norm), it is measured on these inputs, and scores are means over them; one real image is enough
    frl_scores     importance of each final response, shape (features,); either this or
    calibration    inputs of shape (m, ...), m >= 2: Inf-FS ranks the final responses to them
    classifier     name of the layer whose inputs are the final responses. None finds it: the linear or convolution
                   layer that the network's output comes from. With several heads, the final responses are the inputs
                   of the first, then of the second, ... (`nisp.final_layers` lists them)

    A channel's score is the sum over the positions of its map, taken behind the batch norm that directly follows its
    layer, if any, and over all calls of a layer that runs several times. Layers that the final responses do not depend
    on have no entry: the classifier itself, auxiliary heads, layers that read constants only. Scores that would exceed
    2^900 are divided by a power of two, one per layer. The model is not changed.

    UserError if an operation has no rule, if the output comes from no classifier, if scores are not one per final
    response, or unless exactly one of ``frl_scores`` and ``calibration`` is given.

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
    backward = BackwardPass.of(model, example_input, classifier)
    if calibration is not None:
        with torch.inference_mode(False), undisturbed(backward.model):
            frl_scores = inf_fs(final_responses(backward.model, calibration, backward.classifiers, BATCH))
    assert frl_scores is not None
    found: dict[str, Tensor] = {}

    def hears(name: str, axis: int, place: int, factor: float, score: Tensor) -> None:
        sums = per_output(score, axis).cpu() * factor
        found[name] = found[name] + sums if name in found else sums

    for name, runs in backward.trace.runs.items():
        axis = channel_axis(backward.model.get_submodule(name))
        backward.listen([run.wrote for run in runs], partial(hears, name, axis))
    backward.run(frl_scores)
    return checked({name: found[name] for name in backward.trace.runs if name in found})
