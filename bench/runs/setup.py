"""What one run is made of: a base network, a method, a target, and what all methods of a suite have in common."""

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
    """Criterion, then reconstruction, then recovery, in ``steps`` parts (bench.suite.specs.MethodSpec).

    It holds the criterion itself where the spec has its name.
    """

    criterion: Criterion
    options: Mapping[str, Any]
    reconstruction: str
    recovery: Recovery
    steps: int = 1
    rescore: bool = True


@dataclass(frozen=True)
class Target:
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
class Setup:
    """All that the stages of a run share.

    checkpoint  where the state of a training is kept while it runs (with a suffix), so that a killed one goes on
    """

    base: Base
    method: Method
    protocol: Protocol
    calibration: Split
    seed: int
    checkpoint: Path | None

    def problem(self, model: nn.Module, groups: tuple[Group, ...], keep: Mapping[str, int]) -> Problem:
        """The problem that a criterion is given."""
        seed = stream(self.seed, "criterion")
        return Problem(model, groups, keep, *self.calibration, classifier=self.base.classifier, seed=seed)
