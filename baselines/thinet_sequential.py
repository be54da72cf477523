"""ThiNet front to back, every layer on the activations of the network as pruned so far (Luo et al. 2017).

Equation: as thinet, group by group, on the inputs in the network with all earlier groups pruned
Data: as thinet.
Cost: up to two forward passes of the calibration images per group, and the systems of thinet.
Deviations: as thinet; the publication fine-tunes after each layer. ``refit_layers`` re-solves the layers that read a
    group instead.
Pinned by: tests/baselines/test_criteria.py::test_thinet_sequential_scores_each_group_on_what_is_left
"""

from baselines._greedy import removal_order
from nisp.pruning.contract import Problem, Scores, silence
from nisp.pruning.copies import copied
from nisp.pruning.reconstruction import refit, surviving_inputs
from nisp.pruning.sampling import sampled_rows
from nisp.pruning.selection import kept_channels


def score(problem: Problem, refit_layers: bool = False) -> Scores:
    """Greedy order of removal; ``refit_layers`` re-solves the layers that read a group before the next is chosen."""
    model = copied(problem.model)
    scores: Scores = {}
    kept = {}
    for group in problem.groups:
        layers = tuple(consumer.name for consumer in group.consumers)
        scores[group.name] = removal_order(model, group, sampled_rows(model, layers, problem.images, problem.seed))
        kept[group.name] = kept_channels(scores[group.name], problem.keep[group.name])
        silence(model, group, kept[group.name])
        targets = sampled_rows(problem.model, layers, problem.images, problem.seed) if refit_layers else {}
        for layer in targets:
            inputs = surviving_inputs(layer, problem.groups, kept)
            refit(model, layer, inputs, targets[layer], problem.images, problem.seed)
    return scores
