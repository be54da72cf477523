"""The last stage of a run: batch-norm statistics, fine-tuning, or training from scratch."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from bench.runs.setup import Protocol, Setup
from bench.training import evaluation
from bench.training.loop import Epoch, Recipe, recalibrate, reinitialise, train
from bench.training.recoveries import Recovery, epochs_of
from bench.training.streams import stream
from nisp.pruning.copies import copied


@dataclass(frozen=True)
class Recovered:
    """A pruned network before and after its recovery.

    recalibrated  with batch-norm statistics of the calibration images, and nothing trained
    model         as the method's recovery leaves it
    curve         of the training, empty if nothing is trained
    factor        on the base's learning rate; NaN if nothing is trained
    """

    bare: nn.Module
    recalibrated: nn.Module
    model: nn.Module
    curve: list[Epoch]
    factor: float


def recovered(setup: Setup, bare: nn.Module, macs_ratio: float, step: int) -> Recovered:
    """Carry out a step's recovery; ``bare`` and ``recalibrated`` are not changed.

    macs_ratio  MACs of the base over MACs of the pruned network
    """
    recalibrated = copied(bare)
    recalibrate(recalibrated, setup.calibration.images)
    recovery = setup.method.recovery
    if recovery == "none":
        return Recovered(bare, recalibrated, bare, [], math.nan)
    if recovery == "recalibrate":
        return Recovered(bare, recalibrated, recalibrated, [], math.nan)
    return _trained(setup, bare, recalibrated, recovery_recipe(recovery, setup.protocol, macs_ratio), step)


def _trained(setup: Setup, bare: nn.Module, recalibrated: nn.Module, recipe: Recipe, step: int) -> Recovered:
    """Train by ``recipe``; if several learning rates are tried, the best on validation images counts."""
    method, protocol, dataset = setup.method, setup.protocol, setup.base.dataset
    tuned = method.recovery == "finetune_tuned"
    factors = protocol.tuned_factors if tuned else (recipe.learning_rate / protocol.base.learning_rate,)
    epochs = recipe.epochs * step // method.steps - recipe.epochs * (step - 1) // method.steps
    seed = stream(setup.seed, "recovery", step)
    tried = []
    for factor in factors:
        candidate = copied(recalibrated)
        if method.recovery.startswith("scratch"):
            reinitialise(candidate, stream(setup.seed, "fresh weights"))
        own = replace(recipe, epochs=epochs, learning_rate=protocol.base.learning_rate * factor)
        curve = train(candidate, dataset, own, seed, checkpoint=_state(setup.checkpoint, step, factor))
        tried.append((evaluation.top1(candidate, dataset.validation), -factor, curve, candidate))
    _, factor, curve, best = max(tried, key=lambda each: each[:2])
    return Recovered(bare, recalibrated, best, curve, -factor)


def _state(checkpoint: Path | None, step: int, factor: float) -> Path | None:
    return checkpoint.with_name(f"{checkpoint.name}.{step}.{factor:g}") if checkpoint else None


def recovery_recipe(recovery: Recovery, protocol: Protocol, macs_ratio: float) -> Recipe:
    """The schedule of a recovery; ``macs_ratio`` is MACs of the base over MACs of the pruned network."""
    base = protocol.base
    factor = protocol.learning_rate_factor if recovery in ("finetune", "finetune_tuned") else 1.0
    passes = epochs_of(recovery, base.epochs, protocol.finetune_epochs, macs_ratio, protocol.scratch_b_limit)
    return replace(base, epochs=round(passes), learning_rate=base.learning_rate * factor)
