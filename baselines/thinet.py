"""ThiNet with every layer pruned independently, on the original network's activations (Luo et al. 2017).

Equation: repeat: remove the channel that minimises Σ over sampled outputs of (Σ over removed channels of x̂)²;
    score = the step in which a channel is removed;  x̂ is its contribution to an output of the layers that read it
Data: calibration images, without labels; five random positions per map.
Cost: one forward pass of the calibration images; per layer, (inputs × taps)² times rows.
Deviations: every output channel of a sampled position is used. The layers that read a coupled group are added up. The
    kept channels are not rescaled; the reconstruction least_squares re-solves all their weights instead.
Pinned by: tests/baselines/test_criteria.py::test_thinets_first_choice_and_costs_against_brute_force
"""

from baselines._greedy import removal_order
from nisp.pruning.contract import Problem, Scores
from nisp.pruning.sampling import sampled_rows


def score(problem: Problem) -> Scores:
    """Greedy order of removal, on sampled outputs of the layers that read a group."""
    layers = tuple({consumer.name: None for group in problem.groups for consumer in group.consumers})
    rows = sampled_rows(problem.model, layers, problem.images, problem.seed)
    return {group.name: removal_order(problem.model, group, rows) for group in problem.groups}
