"""ThiNet, every layer on the original network's activations (Luo et al. 2017; the layers are chosen independently)."""

from baselines._greedy import removal_order
from bench.contract import Problem, Scores
from bench.patches import sampled_rows


def score(problem: Problem) -> Scores:
    """Greedy order of removal, on sampled outputs of the layers that read each group."""
    layers = tuple({consumer.name: None for group in problem.groups for consumer in group.consumers})
    rows = sampled_rows(problem.model, layers, problem.images, problem.seed)
    return {group.name: removal_order(problem.model, group, rows) for group in problem.groups}
