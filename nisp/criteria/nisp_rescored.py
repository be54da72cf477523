"""NISP in several passes: remove a part of the channels, rank and propagate again on what is left (for RQ3).

Equation: for t = 1 … steps: nisp on what is left, then remove t / steps of all that is to go;
    score = the step at which a channel goes, and its rank in that step
Data: as nisp, in each step on the network as pruned so far.
Cost: ``steps`` times nisp.
Deviations: ours, for the question whether one pass is enough. Nothing is trained between the steps.
Pinned by: tests/baselines/test_criteria.py::test_nisp_rescored_in_one_step_chooses_like_nisp
"""

import copy

import torch
from torch import Tensor

from nisp.propagation import propagate
from nisp.pruning.contract import Problem, Scores, silence
from nisp.pruning.selection import kept_channels
from nisp.rankings.inf_fs import inf_fs
from nisp.responses import final_responses


def score(
    problem: Problem, steps: int = 4, alpha: float = 0.5, variant: str = "iccv2015", joint: bool = True
) -> Scores:
    """NISP with fresh scores after each of ``steps`` equal parts of the pruning; ``steps`` = 1 is NISP.

    A channel that goes in an earlier part ranks below all that go later.
    """
    model = copy.deepcopy(problem.model)
    alive = {group.name: torch.ones(group.channels, dtype=torch.bool) for group in problem.groups}
    ranks = {group.name: torch.zeros(group.channels, dtype=torch.float64) for group in problem.groups}
    final_units = torch.ones(model.get_parameter(f"{problem.classifier}.weight").shape[1], dtype=torch.bool)
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
                final_units[final.inputs[~alive[group.name]].flatten()] = False
    return ranks


def _unit_interval(scores: Tensor) -> Tensor:
    """The same order, in [0, 1)."""
    low, high = scores.min(), scores.max()
    return torch.zeros_like(scores) if high == low else 0.5 * (scores - low) / (high - low)
