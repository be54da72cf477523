"""Checks the arguments of `nisp.prune`, so that a mistake is one sentence."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.selection import checked_ratio

BUDGETS = ("channels", "macs")


def check_arguments(model: nn.Module, count: int, given: Mapping[str, Any]) -> None:
    """UserError for the first of the arguments of `nisp.prune` that is wrong; ``count`` is the number of images."""
    _check_ratio(given["ratio"], given["budget"])
    _check_labels(given["labels"], count)
    scores = given["scores"]
    if not (scores is None or isinstance(scores, Mapping) or callable(scores)):
        raise UserError(
            f"scores is of class {type(scores).__name__}: give None for NISP, a function of the problem, or a "
            "dictionary, group name -> scores"
        )
    classifier, seed, tolerance = given["classifier"], given["seed"], given["tolerance"]
    if classifier is not None and not isinstance(classifier, str):
        raise UserError(f"the classifier is of class {type(classifier).__name__}: give the name of its layer")
    if isinstance(classifier, str) and classifier not in dict(model.named_modules()):
        raise UserError(f"'{classifier}' is not a layer of {type(model).__name__}, so it cannot be its classifier")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise UserError(f"the seed is {seed!r}: it must be an integer from 0 to 2**63 - 1")
    if tolerance is not None and not (_is_number(tolerance) and tolerance >= 0):
        raise UserError(f"the tolerance is {tolerance!r}: it must be a number that is not negative")


def _check_ratio(ratio: Any, budget: Any) -> None:
    patterns = ratio if isinstance(ratio, Mapping) else {"*": ratio}
    for pattern, share in patterns.items():
        if not isinstance(pattern, str):
            raise UserError(f"the ratio's pattern {pattern!r} is no string: give names of layers, or patterns of them")
        checked_ratio(share, f"the ratio of '{pattern}'")
    if not isinstance(budget, str) or budget not in BUDGETS:
        raise UserError(f"the budget is {budget!r}: choose channels or macs")
    if budget == "macs" and isinstance(ratio, Mapping):
        raise UserError("a budget of MACs takes one ratio for the whole network, not one per layer")


def _check_labels(labels: Any, count: int) -> None:
    if labels is None:
        return
    if not isinstance(labels, Tensor):
        raise UserError(f"labels is of class {type(labels).__name__}: give a tensor of the images' classes")
    if labels.shape != (count,):
        raise UserError(f"labels has shape {tuple(labels.shape)}, not ({count},): give the class of every image")
    if labels.is_floating_point() or labels.is_complex():
        raise UserError(f"labels are {str(labels.dtype).removeprefix('torch.')}: give the numbers of classes, integers")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
