"""Inputs of one run: a base network, a method, a target, and what all methods of a suite have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bench.data import Split
from bench.runs.base_network import Base
from bench.suite.specs import PlanSpec
from bench.training.loop import Recipe
from bench.training.recoveries import Recovery
from bench.training.streams import stream
from nisp.pruning.contract import Criterion, Group, Problem


@dataclass(frozen=True)
class Method:
    """Criterion, then reconstruction, then recovery, in ``steps`` steps.

    Like bench.suite.specs.MethodSpec, with the criterion itself instead of its name.
    """

    criterion: Criterion
    options: Mapping[str, Any]
    reconstruction: str
    recovery: Recovery
    steps: int = 1
    rescore: bool = True


@dataclass(frozen=True)
class Target:
    """What to remove: plan and ratio; ``sensitivity`` is the criterion that allocates, None for the method's own."""

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
class Setup:
    """Everything that the stages of a run share.

    checkpoint  file for the state of a training in progress (plus a suffix), so that a killed one continues
    """

    base: Base
    method: Method
    protocol: Protocol
    calibration: Split
    seed: int
    checkpoint: Path | None

    def problem(self, model: nn.Module, groups: tuple[Group, ...], keep: Mapping[str, int]) -> Problem:
        """The problem passed to a criterion."""
        seed = stream(self.seed, "criterion")
        return Problem(model, groups, keep, *self.calibration, classifier=self.base.classifier, seed=seed)
