"""How many channels of each group stay: the same share of all, shares by layer, or whatever meets a budget of MACs."""

from collections.abc import Callable

from torch import Tensor, nn

from bench.suite.specs import PlanSpec
from nisp.errors import UserError
from nisp.pruning import budgets as budget
from nisp.pruning.contract import Scores
from nisp.pruning.selection import channels_left, factors_by_layer
from nisp.pruning.surgery import Anatomy


def channels_to_keep(
    plan: PlanSpec, ratio: float, model: nn.Module, parts: Anatomy, sensitivity: Callable[[], Scores] | None = None
) -> dict[str, int]:
    """Group name -> channels to keep, at least 1.

    sensitivity  gives scores of all channels of the unpruned network; asked only if the plan allocates by scores

    UserError for a pattern that matches no layer, and for a budget that no numbers of channels meet.
    """
    try:
        factors = factors_by_layer(parts.groups, plan.layers)
    except UserError as error:
        raise UserError(f"a plan does not fit {type(model).__name__}: {error}") from None

    def keep(share: float) -> dict[str, int]:
        return {
            group.name: channels_left(group.channels, share * factors[group.name], plan.rounding)
            for group in parts.groups
        }

    if plan.budget == "channels":
        return keep(ratio)
    costs = budget.costs(model, parts)
    if not plan.by_scores:
        return budget.met_by_share(costs, ratio, keep)
    assert sensitivity is not None
    scores = sensitivity()
    open_groups = {group.name: _relative(scores[group.name]) for group in parts.groups if factors[group.name] > 0}
    return budget.met_by_scores(costs, ratio, open_groups, plan.floor)


def _relative(scores: Tensor) -> Tensor:
    """Scores over their mean, so that layers can be compared whatever the scale of their scores."""
    mean = scores.double().abs().mean()
    return scores.double() / mean if mean > 0 else scores.double()
