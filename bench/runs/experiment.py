"""One experiment: a trained base network, pruned by one method at one ratio, recovered and measured."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.data import Dataset, Split
from bench.runs.plans import channels_to_keep
from bench.runs.size import Size, size_of
from bench.runs.ware import ware_of
from bench.suite.specs import PlanSpec
from bench.training import evaluation
from bench.training.loop import Epoch, Recipe, recalibrate, reinitialise, train
from bench.training.recoveries import Recovery, epochs_of
from nisp.network import final_layers
from nisp.pruning.contract import Criterion, Problem, Scores, silence
from nisp.pruning.least_squares import Refit, least_squares, surviving_inputs
from nisp.pruning.selection import kept_channels
from nisp.pruning.surgery import Anatomy, anatomy, removal_error, remove_channels

Ranking = Callable[[Tensor], Tensor]
"""Final responses (n, features) -> importance of each feature; weighs the errors in WARE."""
RANKED_IMAGES = 5000
"""Training images, at most, whose final responses are ranked; they are in random order, so the first are a sample."""


@dataclass(frozen=True)
class Base:
    """A trained network with all that is measured of it once and shared by every method."""

    model: nn.Module
    dataset: Dataset
    anatomy: Anatomy
    classifier: str
    importance: Tensor
    top1: float
    top5: float
    size: Size
    outputs: Tensor
    responses: Tensor


@dataclass(frozen=True)
class Method:
    """Criterion, then reconstruction, then recovery, in ``steps`` parts (bench.suite.specs.MethodSpec)."""

    criterion: Criterion
    options: Mapping[str, Any]
    reconstruction: str
    recovery: Recovery
    steps: int = 1
    rescore: bool = True


@dataclass(frozen=True)
class Cut:
    """How much goes from where; ``sensitivity`` is the criterion that allocates, None for the method's own."""

    plan: PlanSpec
    ratio: float
    sensitivity: Criterion | None = None


@dataclass(frozen=True)
class Protocol:
    """What the methods of a suite have in common."""

    base: Recipe
    finetune_epochs: int
    learning_rate_factor: float
    tuned_factors: tuple[float, ...]
    calibration_images: int
    scratch_b_limit: float


@dataclass(frozen=True)
class Result:
    """What a run leaves: the measured columns of its row in runs.csv, its learning curve, and the pruned network.

    refits  what least squares left in each layer
    keep    group name -> channels kept
    """

    row: dict[str, Any]
    curve: list[Epoch]
    refits: list[Refit]
    keep: dict[str, int]
    model: nn.Module


def prepared(model: nn.Module, dataset: Dataset, ranking: Ranking) -> Base:
    """Measure a trained network once."""
    model.eval()
    classifier, *_ = final_layers(model, dataset.example)
    outputs = evaluation.logits(model, dataset.test.images)
    return Base(
        model=model,
        dataset=dataset,
        anatomy=anatomy(model, dataset.example),
        classifier=classifier,
        importance=ranking(evaluation.classifier_inputs(model, dataset.train.images[:RANKED_IMAGES], classifier)),
        top1=evaluation.accuracy(outputs, dataset.test.labels),
        top5=evaluation.top5(outputs, dataset.test.labels),
        size=size_of(model, dataset.example),
        outputs=outputs,
        responses=evaluation.classifier_inputs(model, dataset.validation.images, classifier),
    )


def run(base: Base, method: Method, protocol: Protocol, cut: Cut, seed: int, checkpoint: Path | None = None) -> Result:
    """Prune ``base`` by ``method``, recover and measure.

    checkpoint  where the state of a training is kept while it runs (with a suffix), so that a killed one goes on
    """
    data = base.dataset
    calibration = data.calibration(protocol.calibration_images, seed)
    sizes = {group.name: group.channels for group in base.anatomy.groups}
    goal = _planned(base, method, cut, calibration, seed)
    stage = _Stage(base.model, {name: torch.arange(size) for name, size in sizes.items()})
    curve: list[Epoch] = []
    for step in range(1, method.steps + 1):
        keep = {name: size - round(step / method.steps * (size - goal[name])) for name, size in sizes.items()}
        stage = _removed(stage, base, method, keep, calibration, seed)
        recalibrated = copy.deepcopy(stage.model)
        recalibrate(recalibrated, calibration.images)
        if step == method.steps:
            outputs = {
                "none": evaluation.logits(stage.model, data.test.images),
                "recalibrate": evaluation.logits(recalibrated, data.test.images),
            }
            ware = _ware(base, recalibrated, stage.kept)
        model = stage.model if method.recovery == "none" else recalibrated
        size = size_of(model, data.example)
        macs_ratio = base.size.macs / size.macs
        epochs, factor = _recover(model, base, method, protocol, macs_ratio, step, seed, checkpoint)
        curve += [replace(epoch, epoch=epoch.epoch + len(curve) - bool(curve)) for epoch in epochs[bool(curve) :]]
        stage = replace(stage, model=model)
    if method.recovery not in outputs:
        outputs[method.recovery] = evaluation.logits(model, data.test.images)
    final = outputs[method.recovery]
    row = {
        "top1_base": base.top1,
        "top1_pruned": evaluation.accuracy(outputs["none"], data.test.labels),
        "top1_recalibrated": evaluation.accuracy(outputs["recalibrate"], data.test.labels),
        "top1_final": evaluation.accuracy(final, data.test.labels),
        "top5_base": base.top5,
        "top5_final": evaluation.top5(final, data.test.labels),
        "macs_base": base.size.macs,
        "macs": size.macs,
        "params_base": base.size.params,
        "params": size.params,
        "score_seconds": stage.score_seconds,
        "ware": ware,
        "agreement_top1": evaluation.accuracy(final, base.outputs.argmax(1)),
        "agreement_top5": evaluation.top5(base.outputs, final.argmax(1)),
        "removal_error": stage.removal_error,
        "val_top1_final": evaluation.top1(model, data.validation),
        "learning_rate_factor": factor,
    }
    return Result(row, curve, stage.refits, goal, model)


@dataclass(frozen=True)
class _Stage:
    """A network between two steps of pruning; ``kept`` are indices of the unpruned network's channels."""

    model: nn.Module
    kept: Mapping[str, Tensor]
    scores: Scores = field(default_factory=dict)
    refits: list[Refit] = field(default_factory=list)
    score_seconds: float = 0.0
    removal_error: float = 0.0


def _planned(base: Base, method: Method, cut: Cut, calibration: Split, seed: int) -> dict[str, int]:
    """Group name -> channels to keep in the end."""

    def sensitivity() -> Scores:
        everything = {group.name: group.channels for group in base.anatomy.groups}
        problem = Problem(base.model, base.anatomy.groups, everything, *calibration, base.classifier, seed)
        return method.criterion(problem, **method.options) if cut.sensitivity is None else cut.sensitivity(problem)

    return channels_to_keep(cut.plan, cut.ratio, base.model, base.anatomy, sensitivity)


def _removed(
    stage: _Stage, base: Base, method: Method, keep: Mapping[str, int], calibration: Split, seed: int
) -> _Stage:
    """Score what is left, or take the scores there are, and remove and reconstruct."""
    model = stage.model
    parts = base.anatomy if model is base.model else anatomy(model, base.dataset.example)
    scores, seconds = stage.scores, 0.0
    if not scores or method.rescore:
        problem = Problem(model, parts.groups, keep, *calibration, classifier=base.classifier, seed=seed)
        start = time.perf_counter()
        scores = method.criterion(problem, **method.options)
        seconds = time.perf_counter() - start
    chosen = {name: kept_channels(scores[name].cpu(), count) for name, count in keep.items()}
    pruned = remove_channels(model, parts, chosen)
    error = removal_error(model, pruned, parts, chosen, calibration.images[:4])
    refits: list[Refit] = []
    if method.reconstruction == "least_squares":
        silenced = copy.deepcopy(model)
        for group in parts.groups:
            silence(silenced, group, chosen[group.name])
        validation = base.dataset.validation.images[: len(calibration.labels)]
        images = validation if isinstance(validation, Tensor) else validation[torch.arange(len(validation))]
        refits = least_squares(model, silenced, parts.groups, chosen, calibration.images, images, seed)
        pruned = remove_channels(silenced, parts, chosen)
    return _Stage(
        model=pruned,
        kept={name: stage.kept[name][indices] for name, indices in chosen.items()},
        scores={name: scores[name].cpu()[indices] for name, indices in chosen.items()},
        refits=refits,
        score_seconds=stage.score_seconds + seconds,
        removal_error=max(stage.removal_error, error),
    )


def _recover(
    model: nn.Module,
    base: Base,
    method: Method,
    protocol: Protocol,
    macs_ratio: float,
    step: int,
    seed: int,
    checkpoint: Path | None,
) -> tuple[list[Epoch], float]:
    """Carry out a step's recovery in place; the learning curve, and the factor on the base's learning rate.

    The curve is empty, and the factor NaN, where nothing is trained.
    """
    recovery = method.recovery
    if recovery in ("none", "recalibrate"):
        return [], math.nan
    recipe = recovery_recipe(recovery, protocol, macs_ratio)
    if recovery.startswith("scratch"):
        reinitialise(model, seed)
    epochs = recipe.epochs * step // method.steps - recipe.epochs * (step - 1) // method.steps
    factors = (
        protocol.tuned_factors
        if recovery == "finetune_tuned"
        else (recipe.learning_rate / protocol.base.learning_rate,)
    )
    tried = []
    for factor in factors:
        candidate = copy.deepcopy(model)
        tuned = replace(recipe, epochs=epochs, learning_rate=protocol.base.learning_rate * factor)
        state = checkpoint.with_name(f"{checkpoint.name}.{step}.{factor:g}") if checkpoint else None
        curve = train(candidate, base.dataset, tuned, seed, checkpoint=state)
        tried.append((evaluation.top1(candidate, base.dataset.validation), -factor, curve, candidate))
    _, factor, curve, best = max(tried, key=lambda each: each[:2])
    model.load_state_dict(best.state_dict())
    return curve, -factor


def recovery_recipe(recovery: Recovery, protocol: Protocol, macs_ratio: float) -> Recipe:
    """The schedule of a recovery; ``macs_ratio`` is MACs of the base over MACs of the pruned network."""
    base = protocol.base
    factor = protocol.learning_rate_factor if recovery in ("finetune", "finetune_tuned") else 1.0
    passes = epochs_of(recovery, base.epochs, protocol.finetune_epochs, macs_ratio, protocol.scratch_b_limit)
    return replace(base, epochs=round(passes), learning_rate=base.learning_rate * factor)


def _ware(base: Base, model: nn.Module, kept: Mapping[str, Tensor]) -> float:
    """WARE on validation images over the final responses that were kept."""
    units = surviving_inputs(base.classifier, base.anatomy.groups, kept)
    pruned = evaluation.classifier_inputs(model, base.dataset.validation.images, base.classifier)
    return ware_of(base.responses[:, units], pruned, base.importance[units])
