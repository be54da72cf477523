"""One experiment: a trained base network, pruned by one method at one ratio, recovered and measured."""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from bench import measure
from bench.contract import Criterion, Problem, kept_channels, silence
from bench.data import Dataset
from bench.models import classifier_name
from bench.reconstruction import least_squares, surviving_inputs
from bench.surgery import Anatomy, anatomy, keep_plan, prune, removal_error
from bench.training import Epoch, Recipe, recalibrate, reinitialise, train

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
    cost: measure.Cost
    predictions: Tensor
    responses: Tensor


@dataclass(frozen=True)
class Method:
    """A composition: criterion, then reconstruction, then recovery."""

    criterion: Criterion
    options: Mapping[str, Any]
    reconstruction: str
    recovery: str


@dataclass(frozen=True)
class Protocol:
    """What the methods of a suite have in common."""

    base: Recipe
    finetune_epochs: int
    learning_rate_factor: float
    calibration_images: int
    scratch_b_limit: float


def prepared(model: nn.Module, dataset: Dataset, ranking: Ranking) -> Base:
    """Measure a trained network once."""
    model.eval()
    classifier = classifier_name(model)
    outputs = measure.logits(model, dataset.test.images)
    return Base(
        model=model,
        dataset=dataset,
        anatomy=anatomy(model, dataset.example),
        classifier=classifier,
        importance=ranking(measure.final_responses(model, dataset.train.images[:RANKED_IMAGES], classifier)),
        top1=measure.accuracy(outputs, dataset.test.labels),
        top5=measure.top5(outputs, dataset.test.labels),
        cost=measure.cost(model, dataset.example),
        predictions=outputs.argmax(1),
        responses=measure.final_responses(model, dataset.validation.images, classifier),
    )


def run(
    base: Base, method: Method, protocol: Protocol, ratio: float, seed: int
) -> tuple[dict[str, Any], list[Epoch], nn.Module]:
    """Prune ``base`` by ``method`` at ``ratio``: the measured columns of its row, its learning curve, the network."""
    data = base.dataset
    calibration = data.calibration(protocol.calibration_images, seed)
    groups = base.anatomy.groups
    plan = keep_plan(groups, ratio)
    problem = Problem(base.model, groups, plan, *calibration, classifier=base.classifier, seed=seed)
    start = time.perf_counter()
    scores = method.criterion(problem, **method.options)
    score_seconds = time.perf_counter() - start
    kept = {name: kept_channels(scores[name], keep) for name, keep in plan.items()}

    model = prune(base.model, base.anatomy, kept)
    error = removal_error(base.model, model, base.anatomy, kept, calibration.images[:4])
    if method.reconstruction == "least_squares":
        silenced = copy.deepcopy(base.model)
        for group in groups:
            silence(silenced, group, kept[group.name])
        least_squares(base.model, silenced, groups, kept, calibration.images, seed)
        model = prune(silenced, base.anatomy, kept)
    stages = {"none": measure.logits(model, data.test.images)}
    recalibrate(model, calibration.images)
    stages["recalibrate"] = measure.logits(model, data.test.images)
    ware = _ware(base, model, kept)
    size = measure.cost(model, data.example)

    curve = _recover(model, base, method.recovery, protocol, size, seed)
    outputs = stages.get(method.recovery)
    if outputs is None:
        outputs = measure.logits(model, data.test.images)
    row = {
        "top1_base": base.top1,
        "top1_pruned": measure.accuracy(stages["none"], data.test.labels),
        "top1_recalibrated": measure.accuracy(stages["recalibrate"], data.test.labels),
        "top1_final": measure.accuracy(outputs, data.test.labels),
        "top5_base": base.top5,
        "top5_final": measure.top5(outputs, data.test.labels),
        "macs_base": base.cost.macs,
        "macs": size.macs,
        "params_base": base.cost.params,
        "params": size.params,
        "score_seconds": score_seconds,
        "ware": ware,
        "agreement_top1": 100 * (outputs.argmax(1) == base.predictions).float().mean().item(),
        "removal_error": error,
        "val_top1_final": measure.top1(model, data.validation),
    }
    return row, curve, model


def _recover(
    model: nn.Module, base: Base, recovery: str, protocol: Protocol, size: measure.Cost, seed: int
) -> list[Epoch]:
    """Carry out the recovery in place; the curve is empty where nothing is trained."""
    if recovery in ("none", "recalibrate"):
        return []
    recipe = recovery_recipe(recovery, protocol, base.cost.macs / size.macs)
    if recovery.startswith("scratch"):
        reinitialise(model, seed)
    return train(model, base.dataset, recipe, seed)


def recovery_recipe(recovery: str, protocol: Protocol, macs_ratio: float) -> Recipe:
    """The schedule of a recovery; ``macs_ratio`` is MACs of the base over MACs of the pruned network.

    finetune       the base recipe with its learning rate times ``learning_rate_factor`` (a tenth, as in NISP)
    scratch_paper  as many iterations as fine-tuning has, with the original learning rate (NISP, as we read it)
    scratch_e      the base recipe's epochs (Liu et al. 2019)
    scratch_b      the base recipe's compute: its epochs times ``macs_ratio``, at most the limit (Liu et al. 2019
                   limit it to 2 on ImageNet)
    """
    base = protocol.base
    return {
        "finetune": replace(
            base,
            epochs=protocol.finetune_epochs,
            learning_rate=base.learning_rate * protocol.learning_rate_factor,
        ),
        "scratch_paper": replace(base, epochs=protocol.finetune_epochs),
        "scratch_e": base,
        "scratch_b": replace(base, epochs=round(base.epochs * min(macs_ratio, protocol.scratch_b_limit))),
    }[recovery]


def _ware(base: Base, model: nn.Module, kept: Mapping[str, Tensor]) -> float:
    """WARE on validation images over the final responses that were kept."""
    units = surviving_inputs(base.classifier, base.anatomy.groups, kept)
    pruned = measure.final_responses(model, base.dataset.validation.images, base.classifier)
    return measure.ware(base.responses[:, units], pruned, base.importance[units])
