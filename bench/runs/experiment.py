"""One run: a trained base network is scored, pruned, reconstructed, recovered and measured."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bench.runs.base_network import Base
from bench.runs.recovery import Recovered, recovered
from bench.runs.setup import Method, Protocol, Setup, Target
from bench.runs.size import Size
from bench.runs.stages import Stage, part_way, planned, pruned, unpruned
from bench.runs.ware import ware_of
from bench.training import evaluation
from bench.training.loop import Epoch
from bench.training.streams import stream
from nisp.pruning.reconstruction import Refit, surviving_inputs


@dataclass(frozen=True)
class Result:
    """Result of a run: the measured columns of its row in runs.csv, its learning curve, and the pruned network.

    refits  least-squares results of each layer
    keep    group name -> channels kept
    """

    row: dict[str, Any]
    curve: list[Epoch]
    refits: list[Refit]
    keep: dict[str, int]
    model: nn.Module


def run(
    base: Base, method: Method, protocol: Protocol, target: Target, seed: int, checkpoint: Path | None = None
) -> Result:
    """Prune ``base`` by ``method``, recover and measure.

    checkpoint  file for the state of a training in progress (plus a suffix), so that a killed one continues
    """
    calibration = base.dataset.calibration(protocol.calibration_images, stream(seed, "calibration"))
    setup = Setup(base, method, protocol, calibration, seed, checkpoint)
    goal = planned(setup, target)
    stage = unpruned(base)
    curve: list[Epoch] = []
    for step in range(1, method.steps + 1):
        stage = pruned(setup, stage, part_way(base, goal, step / method.steps))
        size = base.size_without(stage.model, stage.kept)
        last = recovered(setup, stage.model, base.size.macs / size.macs, step)
        stage = replace(stage, model=last.model)
        curve += _continued(curve, last.curve)
    return Result(_measured(base, stage, size, last), curve, stage.refits, goal, last.model)


def _continued(curve: list[Epoch], more: list[Epoch]) -> list[Epoch]:
    """Epochs of a later step, renumbered to follow ``curve``, without its epoch 0, which is there already."""
    if not curve:
        return more
    return [replace(epoch, epoch=curve[-1].epoch + epoch.epoch) for epoch in more[1:]]


def _measured(base: Base, stage: Stage, size: Size, last: Recovered) -> dict[str, Any]:
    """The measured columns of runs.csv."""
    data, models = base.dataset, (last.bare, last.recalibrated, last.model)
    outputs = {model: evaluation.logits(model, data.test.images) for model in dict.fromkeys(models)}
    bare, recalibrated, final = (outputs[model] for model in models)
    return {
        "top1_base": base.top1,
        "top1_pruned": evaluation.accuracy(bare, data.test.labels),
        "top1_recalibrated": evaluation.accuracy(recalibrated, data.test.labels),
        "top1_final": evaluation.accuracy(final, data.test.labels),
        "top5_base": base.top5,
        "top5_final": evaluation.top5(final, data.test.labels),
        "macs_base": base.size.macs,
        "macs": size.macs,
        "params_base": base.size.params,
        "params": size.params,
        "macs_counter": size.counter,
        "macs_torch_base": base.size.products,
        "macs_torch": size.products,
        "score_seconds": stage.score_seconds,
        "ware": _ware(base, last.recalibrated, stage.kept),
        "agreement_top1": evaluation.accuracy(final, base.outputs.argmax(1)),
        "agreement_top5": evaluation.top5(base.outputs, final.argmax(1)),
        "removal_error": stage.removal_error,
        "val_top1_final": evaluation.top1(last.model, data.validation),
        "learning_rate_factor": last.factor,
    }


def _ware(base: Base, model: nn.Module, kept: Mapping[str, Tensor]) -> float:
    """WARE on validation images over the final responses that were kept."""
    units = surviving_inputs(base.classifier, base.anatomy.groups, kept)
    pruned_responses = evaluation.classifier_inputs(model, base.dataset.validation.images, base.classifier)
    return ware_of(base.responses[:, units], pruned_responses, base.importance[units])
