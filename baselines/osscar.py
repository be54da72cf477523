"""OSSCAR: the channels without which the next layers, solved again, come closest to their outputs (Meng et al. 2024).

Equation: min over kept channels z and weights W of ½ tr(WᵀHW) − tr(GᵀW), with W = 0 in rows of channels that go;
    H = XᵀX + λI and G = XᵀY + λB;  X is the inputs of the layers that read the group in the network as pruned so far, Y
    is the original network's outputs without the bias, B is the present weights, λ = 0.01 · mean of XᵀX's diagonal
Data: calibration images, without labels; five random positions per map.
Cost: one forward pass of the calibration images, up to one more per group, and per layer (inputs × taps)³: an inverse,
    updates of it for every channel, and up to as much again per exchange.
Deviations: as in the authors' code, channels that raise the loss least go ``step`` at a time, each time with all other
    weights solved again; then the cheapest ``step`` are exchanged for those that lower the loss most, at most ``swaps``
    times, while the loss falls. The score is the place in the order of removal; channels that stay are ordered by
    going on. The losses of the layers that read a coupled group are added up, and a layer's inputs from other groups
    are solved again with it. Only the choice is made here: the reconstruction least_squares re-solves the weights, with
    its own ridge and a free bias, or ``refit_layers`` as it goes.
Pinned by: tests/baselines/test_osscar.py::test_losses_by_low_rank_updates_are_those_of_direct_solutions,
    tests/baselines/test_osscar.py::test_channels_that_do_not_overlap_are_chosen_as_by_trying_all,
    tests/baselines/test_osscar.py::test_swaps_find_what_greedy_removal_misses
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from baselines._front_to_back import Layers, front_to_back, original_rows
from baselines._quadratic import Quadratic
from nisp.errors import UserError
from nisp.pruning.contract import Group, Problem, Scores
from nisp.pruning.reconstruction import System, surviving_inputs

DAMPING = 1e-2
"""λ over the mean of the diagonal of XᵀX, as in the authors' code."""

LEAST_FALL = 1e-9
"""A swap counts if the loss falls by more than this share of what leaving costs, so that rounding ends no loop."""


def score(problem: Problem, step: int = 1, swaps: int = 20, refit_layers: bool = False) -> Scores:
    """Order of removal after local search; the channels that stay are the highest.

    step          channels that go, or are exchanged, at a time
    swaps         largest number of exchanges per group
    refit_layers  re-solve the layers that read a group before the next group is chosen

    UserError if ``step`` is below 1 or ``swaps`` below 0.
    """
    if step < 1 or swaps < 0:
        raise UserError(f"criterion osscar: step must be at least 1 and swaps at least 0, not {step} and {swaps}")
    targets = original_rows(problem)

    def order(model: nn.Module, group: Group, rows: Layers, kept: Mapping[str, Tensor]) -> Tensor:
        losses = []
        for consumer in group.consumers:
            if consumer.name in rows:  # auxiliary heads do not run
                inputs = surviving_inputs(consumer.name, problem.groups, kept)
                system = System.of(model, consumer.name, inputs, targets[consumer.name].outputs, rows[consumer.name])
                losses.append(Quadratic.of(system, consumer.inputs, DAMPING))
        return places(removal_order(losses, group.channels, problem.keep[group.name], step, swaps))

    return front_to_back(problem, order, targets if refit_layers else None)


def places(order: Sequence[int]) -> Tensor:
    """Each channel's place in ``order``, shape (channels,)."""
    return torch.tensor(order).argsort().double()


def removal_order(losses: Sequence[Quadratic], channels: int, keep: int, step: int, swaps: int) -> list[int]:
    """All channels, in the order in which they go; the last ``keep`` are those that stay after local search."""
    gone: list[int] = []
    _remove_greedily(losses, gone, channels, channels - keep, step)
    for _ in range(swaps if gone else 0):
        if not _swapped(losses, gone, min(step, keep, len(gone)), channels):
            break
    _remove_greedily(losses, gone, channels, keep, step)
    return gone


def _remove_greedily(losses: Sequence[Quadratic], gone: list[int], channels: int, count: int, step: int) -> None:
    """Remove ``count`` further channels, about ``step`` at a time: those without which the loss rises least."""
    for part in torch.arange(count).tensor_split(max(1, count // step)):
        if len(part):
            leaving = _cheapest(losses, gone, channels, len(part))
            for loss in losses:
                loss.remove(leaving)
            gone += leaving


def _swapped(losses: Sequence[Quadratic], gone: list[int], count: int, channels: int) -> bool:
    """Exchange the ``count`` cheapest channels for the best that are gone; undone, and False, if the loss stays."""
    leaving = _cheapest(losses, gone, channels, count)
    cost = sum(loss.remove(leaving) for loss in losses)
    absent = torch.tensor([*gone, *leaving])
    gains = sum((loss.gains().cpu() for loss in losses), torch.zeros(channels, dtype=torch.float64))[absent]
    entering = absent[gains.argsort(descending=True, stable=True)[:count]].tolist()
    won = sum(loss.add(entering) for loss in losses)
    if won > cost * (1 + LEAST_FALL) and set(entering) != set(leaving):
        gone[:] = [channel for channel in [*gone, *leaving] if channel not in entering]
        return True
    for loss in losses:
        loss.remove(entering)
        loss.add(leaving)
    return False


def _cheapest(losses: Sequence[Quadratic], gone: Sequence[int], channels: int, count: int) -> list[int]:
    """The ``count`` channels, of those not ``gone``, without which the loss rises least; of equals, the first."""
    rises = sum((loss.losses().cpu() for loss in losses), torch.zeros(channels, dtype=torch.float64))
    rises[list(gone)] = torch.inf
    return rises.argsort(stable=True)[:count].tolist()  # type: ignore[no-any-return]
