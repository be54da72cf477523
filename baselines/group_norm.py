"""Group norm: all weights that would go with a channel (DepGraph, Fang et al. 2023)."""

import torch

from baselines._responses import scales
from bench.contract import Problem, Scores


def score(problem: Problem) -> Scores:
    """Sum of squares of the weights that write a channel, that read it, and of its batch norms' scales."""
    gammas = scales(problem)
    scores: Scores = {}
    for group in problem.groups:
        total = torch.zeros(group.channels, dtype=torch.float64)
        for producer in group.producers:
            weight = problem.model.get_parameter(f"{producer.name}.weight").detach()
            total += producer.per_channel(weight.double().square().flatten(1).sum(1)).cpu()
            if producer.name in gammas:
                total += producer.per_channel(gammas[producer.name].double().square()).cpu()
        for consumer in group.consumers:
            weight = problem.model.get_parameter(f"{consumer.name}.weight").detach()
            columns = weight.double().square().transpose(0, 1).flatten(1).sum(1)
            total += columns[consumer.inputs.to(columns.device)].sum(1).cpu()
        scores[group.name] = total
    return scores
