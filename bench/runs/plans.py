"""How many channels of each group stay: the same share of all, shares by layer, or to meet a budget of MACs."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from bench.runs.size import macs_of, size_of
from bench.suite.specs import PlanSpec
from nisp.errors import UserError
from nisp.pruning import budgets
from nisp.pruning.contract import Scores
from nisp.pruning.selection import channels_left, factors_by_layer
from nisp.pruning.surgery import Anatomy


def channels_to_keep(
    plan: PlanSpec, ratio: float, model: nn.Module, structure: Anatomy, sensitivity: Callable[[], Scores] | None = None
) -> dict[str, int]:
    """Group name -> channels to keep, at least 1.

    sensitivity  gives scores of all channels of the unpruned network; called only if the plan allocates by scores

    UserError for a pattern that matches no layer, and for a budget that no numbers of channels meet.
    """
    try:
        factors = factors_by_layer(structure.groups, plan.layers)
    except UserError as error:
        raise UserError(f"a plan does not fit {type(model).__name__}: {error}") from None

    def keep(share: float) -> dict[str, int]:
        return {
            group.name: channels_left(group.channels, share * factors[group.name], plan.rounding)
            for group in structure.groups
        }

    if plan.budget == "channels":
        return keep(ratio)
    assert isinstance(structure.example, Tensor), "data sets have one image as their example"
    counter = size_of(model, structure.example).counter
    layers = budgets.layer_macs(model, structure, partial(macs_of, counter=counter))
    if not plan.by_scores:
        return budgets.met_by_share(layers, ratio, keep)
    assert sensitivity is not None
    scores = sensitivity()
    open_groups = {group.name: _relative(scores[group.name]) for group in structure.groups if factors[group.name] > 0}
    return budgets.met_by_scores(layers, ratio, open_groups, plan.floor)


def _relative(scores: Tensor) -> Tensor:
    """Scores over their mean, so that layers with scores of different scales can be compared."""
    mean = scores.double().abs().mean()
    return scores.double() / mean if mean > 0 else scores.double()
