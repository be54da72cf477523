"""Pruning a network in one call: score, choose, cut, check."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from nisp.arguments import check_arguments
from nisp.classifiers import final_layers
from nisp.errors import UserError, first_line
from nisp.propagation import propagate
from nisp.pruning.budgets import layer_macs, met_by_share
from nisp.pruning.contract import Problem, Scores
from nisp.pruning.counting import macs, params
from nisp.pruning.exactness import inexact_groups
from nisp.pruning.inputs import Inputs, checked_inputs, count, in_precision, part, precision_of
from nisp.pruning.selection import channels_left, factors_by_layer, select
from nisp.pruning.surgery import Anatomy, anatomy, removal, remove_channels
from nisp.pruning.undisturbed import undisturbed
from nisp.pruning.wrappers import unwrapped
from nisp.rankings.inf_fs import inf_fs
from nisp.responses import final_responses

Scorer = Callable[[Problem], Scores]


@dataclass(frozen=True)
class Pruned:
    """A pruned network, in eval mode, and what was done to it.

    kept           group name -> indices of the kept channels
    removal_error  largest difference from the outputs of the original with the removed channels masked, relative to
                   the largest output; about 1e-15, as it is measured in float64 wherever the network runs in that
    macs, params   multiply-accumulates per input, and number of parameters; ``_before``: of the original
    """

    model: nn.Module
    kept: Mapping[str, Tensor]
    removal_error: float
    macs: int
    macs_before: int
    params: int
    params_before: int


def prune(
    model: nn.Module,
    images: Inputs,
    ratio: float | Mapping[str, float] = 0.5,
    *,
    scores: Scorer | Mapping[str, Tensor] | None = None,
    labels: Tensor | None = None,
    budget: Literal["channels", "macs"] = "channels",
    classifier: str | None = None,
    seed: int = 0,
    tolerance: float | None = None,
) -> Pruned:
    """Return a smaller copy of ``model``; the model itself is not changed.

    images      calibration images, shape (n, ...); NISP needs n >= 2, and a few hundred are better. The network runs on
                them in eval mode. A tuple of tensors for a network of several arguments, a dictionary for named ones
    ratio       share of its channels that every layer loses; or layer-name pattern -> share. Patterns are those of a
                shell, but * also matches dots; a later pattern overrides an earlier one; unmatched layers stay whole
    scores      None for NISP; or a criterion, that is a function of the problem (`nisp.pruning.Problem`); or group
                name -> one score per channel, higher means keep (`nisp.pruning.anatomy` lists the groups)
    labels      classes of the images, shape (n,), for criteria that need them
    budget      channels: ``ratio`` is a share of the channels. macs: ``ratio`` is a share of the network's
                multiply-accumulates, and every layer loses the same share of its channels
    classifier  name of the layer whose inputs are the final responses; None finds it
    seed        for random draws of the criterion
    tolerance   largest accepted removal error; None: what the precision explains in which the network runs, 1.5e-8
                where that is float64 throughout

    A network behind a wrapper, such as ``torch.compile`` or DistributedDataParallel, is pruned without it. The pruned
    network has been run: its outputs are those of the original with the removed channels masked.

    UserError if the network cannot be pruned or scored, if a pattern matches no layer, if scores are missing, not
    finite or not one per channel, if a budget cannot be met, or if the removal error exceeds the tolerance.

    >>> import torch, nisp
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10), nn.Linear(10, 2))
    >>> pruned = nisp.prune(model, torch.randn(50, 3, 8, 8), ratio=0.5)
    >>> pruned.model[0].out_channels, pruned.model[3].out_features, pruned.params, pruned.params_before
    (4, 5, 849, 3136)
    >>> magnitude = {"0": model[0].weight.abs().sum((1, 2, 3)), "3": model[3].weight.abs().sum(1)}
    >>> nisp.prune(model, torch.randn(1, 3, 8, 8), ratio={"0": 0.25}, scores=magnitude).kept["0"].tolist()
    [0, 1, 2, 3, 5, 6]
    """
    model = unwrapped(model)
    images = in_precision(checked_inputs(images, "the images"), precision_of(model))
    given = {"ratio": ratio, "scores": scores, "labels": labels, "budget": budget, "classifier": classifier}
    check_arguments(model, count(images), {**given, "seed": seed, "tolerance": tolerance})
    example = part(images, 0, 1)
    structure = anatomy(model, example)
    keep = _channels_to_keep(model, structure, ratio, budget)
    with torch.inference_mode(False), undisturbed(model):
        found = _scored(model, structure, keep, images, labels, scores, classifier, seed)
    kept = select(_checked(found, structure, keep), keep)
    small = remove_channels(model, structure, kept).eval()
    done = removal(model, small, structure, kept, example)
    limit = done.tolerance if tolerance is None else tolerance
    if not done.error <= limit:
        faulty = inexact_groups(model, structure, kept, example, limit)
        raise UserError(
            f"{type(model).__name__} cannot be pruned exactly: removing the channels changes its outputs by "
            f"{done.error:.2g} of the largest, compared with masking them (tolerance {limit:.2g}); a ratio of 0 keeps "
            f"the layers at fault whole ({', '.join(faulty[:5])}{', ...' if len(faulty) > 5 else ''})"
        )
    counts = macs(small, example), macs(model, example)
    return Pruned(small, kept, done.error, *counts, params(small), params(model))


def _channels_to_keep(
    model: nn.Module, structure: Anatomy, ratio: float | Mapping[str, float], budget: str
) -> dict[str, int]:
    """Group name -> channels to keep."""

    def left(share: float) -> dict[str, int]:
        return {group.name: channels_left(group.channels, share) for group in structure.groups}

    if isinstance(ratio, Mapping):
        shares = factors_by_layer(structure.groups, ratio)
        return {group.name: channels_left(group.channels, shares[group.name]) for group in structure.groups}
    return left(ratio) if budget == "channels" else met_by_share(layer_macs(model, structure), ratio, left)


def _scored(
    model: nn.Module,
    structure: Anatomy,
    keep: Mapping[str, int],
    images: Inputs,
    labels: Tensor | None,
    scores: Scorer | Mapping[str, Tensor] | None,
    classifier: str | None,
    seed: int,
) -> Mapping[str, Tensor]:
    """Group name -> scores, not yet checked."""
    if isinstance(scores, Mapping):
        return scores
    classifiers = tuple(final_layers(model, part(images, 0, 1))) if classifier is None else (classifier,)
    if scores is None:
        frl_scores = inf_fs(final_responses(model, images, classifiers))
        return propagate(model, images, classifiers, frl_scores, structure.groups, keep)
    kind = Problem if labels is not None else _Unlabelled
    given = labels if labels is not None else torch.empty(0, dtype=torch.int64)
    problem = kind(model, structure.groups, keep, cast(Tensor, images), given, classifiers[0], seed)
    try:
        return scores(problem)
    except (AttributeError, TypeError) as error:
        if isinstance(images, Tensor):
            raise
        raise UserError(
            f"this criterion takes one tensor of images, not a {type(images).__name__}: {first_line(error)}"
        ) from error


class _Unlabelled(Problem):
    """A problem without labels: reading them is an error."""

    def __getattribute__(self, name: str) -> object:
        if name == "labels":
            raise UserError("this criterion needs the classes of the images: give labels")
        return super().__getattribute__(name)


def _checked(scores: Mapping[str, Tensor], structure: Anatomy, keep: Mapping[str, int]) -> dict[str, Tensor]:
    """The scores of every group, zeros where none are given and the group stays whole; UserError if any is wrong."""
    sizes = structure.sizes
    if not isinstance(scores, Mapping):
        raise UserError(f"the criterion returned {type(scores).__name__}, not a dictionary, group name -> scores")
    for name in scores:
        if name not in sizes:
            raise UserError(f"scores are given for '{name}', which is not a group: there are {', '.join(sizes)}")
    checked = {}
    for name, size in sizes.items():
        if name not in scores:
            if keep[name] < size:
                raise UserError(f"there are no scores for the group '{name}', which loses channels")
            checked[name] = torch.zeros(size)
            continue
        try:
            values = torch.as_tensor(scores[name])
        except (TypeError, ValueError, RuntimeError):
            kind = type(scores[name]).__name__
            raise UserError(f"the scores of '{name}' are of class {kind}, not a tensor") from None
        if values.shape != (size,):
            raise UserError(f"the scores of '{name}' have shape {tuple(values.shape)}, not ({size},)")
        if not all(map(math.isfinite, values.tolist())):
            raise UserError(f"the scores of '{name}' are not all finite")
        checked[name] = values.detach()
    return checked
