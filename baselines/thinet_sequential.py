"""ThiNet front to back, every layer on the activations of the network as pruned so far (Luo et al. 2017).

Equation: as thinet, group by group, on the inputs in the network with all earlier groups pruned
Data: as thinet.
Cost: up to two forward passes of the calibration images per group, and the systems of thinet.
Deviations: as thinet; the publication fine-tunes after each layer. ``refit_layers`` re-solves the layers that read a
    group instead.
Pinned by: tests/baselines/test_criteria.py::test_thinet_sequential_scores_each_group_on_what_is_left
"""

from collections.abc import Mapping

from torch import Tensor, nn

from baselines._front_to_back import Layers, front_to_back, original_rows
from baselines._greedy import removal_order
from nisp.pruning.contract import Group, Problem, Scores


def score(problem: Problem, refit_layers: bool = False) -> Scores:
    """Greedy order of removal; ``refit_layers`` re-solves the layers that read a group before the next is chosen."""

    def order(model: nn.Module, group: Group, rows: Layers, _: Mapping[str, Tensor]) -> Tensor:
        return removal_order(model, group, rows)

    return front_to_back(problem, order, original_rows(problem) if refit_layers else None)
