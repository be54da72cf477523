"""NISP in several passes: remove some of the channels, then rank and propagate again on the rest (for RQ3).

Equation: for t = 1 … steps: nisp on the channels left, until t / steps of all channels to remove are removed;
    score = the step in which a channel is removed, then its rank in that step
Data: as nisp, in each step on the network as pruned so far.
Cost: ``steps`` times nisp.
Deviations: ours, to test whether one pass is enough. Nothing is trained between the steps.
Pinned by: tests/baselines/test_criteria.py::test_nisp_rescored_in_one_step_chooses_like_nisp
"""

import torch
from torch import Tensor

from nisp.propagation import propagate
from nisp.pruning.contract import Problem, Scores, silence
from nisp.pruning.copies import copied
from nisp.pruning.layer_weights import count_inputs, weight_of
from nisp.pruning.selection import kept_channels
from nisp.rankings.inf_fs import inf_fs
from nisp.responses import final_responses


def score(
    problem: Problem, steps: int = 4, alpha: float = 0.5, variant: str = "iccv2015", joint: bool = True
) -> Scores:
    """NISP with new scores in each of ``steps`` equal steps of the pruning; ``steps`` = 1 is NISP.

    A channel that is removed in an earlier step ranks below all that are removed later.
    """
    model = copied(problem.model)
    alive = {group.name: torch.ones(group.channels, dtype=torch.bool) for group in problem.groups}
    ranks = {group.name: torch.zeros(group.channels, dtype=torch.float64) for group in problem.groups}
    final_units = torch.ones(count_inputs(model, problem.classifier), dtype=torch.bool)
    for step in range(1, steps + 1):
        responses = final_responses(model, problem.images, problem.classifier)
        frl_scores = torch.zeros(len(final_units), dtype=torch.float64)
        frl_scores[final_units] = inf_fs(responses[:, final_units], alpha, variant)
        keep = {g.name: g.channels - round(step / steps * (g.channels - problem.keep[g.name])) for g in problem.groups}
        scores = propagate(
            model, problem.images, problem.classifier, frl_scores, problem.groups, keep if joint else None
        )
        for group in problem.groups:
            live = alive[group.name]
            ranks[group.name][live] = step + _unit_interval(scores[group.name][live])
            kept = kept_channels(ranks[group.name], keep[group.name])
            alive[group.name] = torch.zeros_like(live).index_fill(0, kept, True)
            silence(model, group, kept)
            if final := group.read_by(problem.classifier):
                places = torch.arange(len(final_units))
                columns = weight_of(model, problem.classifier).shape[1]
                final_units[final.per_channel(places, columns)[~alive[group.name]].flatten()] = False
    return ranks


def _unit_interval(scores: Tensor) -> Tensor:
    """Scores rescaled to [0, 1), in the same order."""
    low, high = scores.min(), scores.max()
    return torch.zeros_like(scores) if high == low else 0.5 * (scores - low) / (high - low)
