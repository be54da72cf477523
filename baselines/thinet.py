"""ThiNet, every layer on the original network's activations (Luo et al. 2017; the layers are chosen independently).

Equation: repeat: remove the channel that minimises Σ over sampled outputs of (Σ over removed channels of x̂)²;
    score = the step at which a channel goes;  x̂ is a channel's part of an output of the layers that read it
Data: calibration images, without labels; five random positions of each map.
Cost: one forward pass of the calibration images; for each layer (inputs × taps)² times rows.
Deviations: every output channel of a sampled position is used. The layers that read a coupled group are added up. No
    rescaling of the kept channels: that is the reconstruction least_squares, which re-solves all their weights.
Pinned by: tests/baselines/test_criteria.py::test_thinets_first_choice_and_costs_against_brute_force
"""

from baselines._greedy import removal_order
from nisp.pruning.contract import Problem, Scores
from nisp.pruning.sampling import sampled_rows


def score(problem: Problem) -> Scores:
    """Greedy order of removal, on sampled outputs of the layers that read each group."""
    layers = tuple({consumer.name: None for group in problem.groups for consumer in group.consumers})
    rows = sampled_rows(problem.model, layers, problem.images, problem.seed)
    return {group.name: removal_order(problem.model, group, rows) for group in problem.groups}
