"""The stages of a run before recovery: how many channels to remove, which ones, and what reconstructs the rest."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bench.runs.base_network import Base
from bench.runs.plans import channels_to_keep
from bench.runs.setup import Setup, Target
from bench.training.streams import stream
from nisp.pruning.contract import Scores, silence
from nisp.pruning.copies import copied
from nisp.pruning.mean_compensation import mean_compensation
from nisp.pruning.reconstruction import Refit, least_squares
from nisp.pruning.selection import select
from nisp.pruning.surgery import Anatomy, anatomy, removal_error, remove_channels


@dataclass(frozen=True)
class Stage:
    """A network between two steps of pruning; ``kept`` are indices of the unpruned network's channels."""

    model: nn.Module
    kept: Mapping[str, Tensor]
    scores: Scores = field(default_factory=dict)
    refits: list[Refit] = field(default_factory=list)
    score_seconds: float = 0.0
    removal_error: float = 0.0


def unpruned(base: Base) -> Stage:
    """The unpruned network, where every run starts."""
    return Stage(base.model, {group.name: torch.arange(group.channels) for group in base.anatomy.groups})


def planned(setup: Setup, target: Target) -> dict[str, int]:
    """Group name -> channels to keep in the end."""
    base = setup.base

    def sensitivity() -> Scores:
        problem = setup.problem(base.model, base.anatomy.groups, base.anatomy.sizes)
        if target.sensitivity is not None:
            return target.sensitivity(problem)
        return setup.method.criterion(problem, **setup.method.options)

    return channels_to_keep(target.plan, target.ratio, base.model, base.anatomy, sensitivity)


def part_way(base: Base, goal: Mapping[str, int], share: float) -> dict[str, int]:
    """Group name -> channels to keep once ``share`` of the removal is done."""
    return {name: size - round(share * (size - goal[name])) for name, size in base.anatomy.sizes.items()}


def pruned(setup: Setup, stage: Stage, keep: Mapping[str, int]) -> Stage:
    """Score the remaining channels, or reuse their scores; then remove and reconstruct."""
    base, model = setup.base, stage.model
    structure = base.anatomy if model is base.model else anatomy(model, base.dataset.example)
    scores, seconds = _scored(setup, stage, structure, keep)
    kept = select(scores, keep)
    smaller = remove_channels(model, structure, kept)
    error = removal_error(model, smaller, structure, kept, setup.calibration.images[:4])
    refits: list[Refit] = []
    if setup.method.reconstruction == "least_squares":
        smaller, refits = _solved_again(setup, model, structure, kept)
    elif setup.method.reconstruction == "mean":
        mean_compensation(model, smaller, structure.groups, kept, setup.calibration.images)
    return Stage(
        model=smaller,
        kept={name: stage.kept[name][indices] for name, indices in kept.items()},
        scores={name: scores[name].cpu()[indices] for name, indices in kept.items()},
        refits=refits,
        score_seconds=stage.score_seconds + seconds,
        removal_error=max(stage.removal_error, error),
    )


def _scored(setup: Setup, stage: Stage, structure: Anatomy, keep: Mapping[str, int]) -> tuple[Scores, float]:
    """Scores of the remaining channels, and the seconds that scoring took."""
    if stage.scores and not setup.method.rescore:
        return stage.scores, 0.0
    problem = setup.problem(stage.model, structure.groups, keep)
    start = time.perf_counter()
    scores = setup.method.criterion(problem, **setup.method.options)
    return scores, time.perf_counter() - start


def _solved_again(
    setup: Setup, model: nn.Module, structure: Anatomy, kept: Mapping[str, Tensor]
) -> tuple[nn.Module, list[Refit]]:
    """The pruned network with its layers re-solved; ridges are chosen on the same number of validation images."""
    silenced = copied(model)
    for group in structure.groups:
        silence(silenced, group, kept[group.name])
    images = setup.calibration.images
    checks = setup.base.dataset.validation.images[: len(setup.calibration.labels)]
    checks = checks if isinstance(checks, Tensor) else checks[torch.arange(len(checks))]
    seed = stream(setup.seed, "positions")
    refits = least_squares(model, silenced, structure.groups, kept, images, checks, seed)
    return remove_channels(silenced, structure, kept), refits
