"""A rough estimate of a suite's GPU hours, made before any network is built."""

from dataclasses import dataclass

from bench.suite.fields import Strict
from bench.suite.grid import Run
from bench.suite.plugins import ROOT
from bench.suite.schema import Suite
from bench.suite.specs import DatasetSpec, ModelSpec
from bench.training.recoveries import epochs_of

COST_FILE = ROOT / "config" / "costs.yaml"


class Device(Strict):
    """Training speed of one GPU: 10^12 multiply-accumulates per second, and the fewest seconds per step."""

    tera_macs_per_second: float
    seconds_per_step: float


class Data(Strict):
    """Number of training images of a data set, and their side in pixels."""

    images: int
    side: int


class Network(Strict):
    """In millions: MACs per image, parameters, and activations (numbers that modules write) per image."""

    macs: float
    params: float
    activations: float


class CostTable(Strict):
    """config/costs.yaml; ``networks`` by label@side."""

    device: Device
    datasets: dict[str, Data]
    networks: dict[str, Network]

    def side(self, dataset: DatasetSpec) -> int | None:
        """Side of the data set's images in a suite, in pixels; None if unknown."""
        known = self.datasets.get(dataset.name)
        return dataset.side or (known.side if known else None)

    def network(self, model: ModelSpec, dataset: DatasetSpec) -> Network | None:
        """Cost of the model on images of the data set; None if unknown."""
        return self.networks.get(f"{model.label}@{self.side(dataset)}")


@dataclass(frozen=True)
class Estimate:
    """GPU hours of all trainings, the number of trainings, and what could not be estimated."""

    hours: float
    trainings: int
    unknown: tuple[str, ...]


def estimated(suite: Suite, costs: CostTable) -> Estimate:
    """Hours of all trainings of a suite: base networks, fine-tuning and training from scratch.

    Training on an image costs three forward passes. A uniformly pruned network keeps about (1 - ratio)^2 of the MACs;
    one pruned to a budget of MACs keeps 1 - ratio. What a plan by layers keeps is unknown here, so it counts in full.
    """
    seconds, trainings = 0.0, 0
    unknown: dict[str, None] = {}

    def add(dataset: str, model: ModelSpec, epochs: float, left: float) -> None:
        nonlocal seconds, trainings
        trainings += 1
        data, network = costs.datasets.get(dataset), costs.network(model, suite.dataset(dataset))
        if data is None or network is None:
            unknown[f"{model.label} on {dataset}"] = None
            return
        steps = epochs * data.images / suite.recipe(model).batch_size
        computing = epochs * data.images * 3e6 * network.macs * left / (1e12 * costs.device.tera_macs_per_second)
        seconds += max(computing, steps * costs.device.seconds_per_step)

    for base in dict.fromkeys((run.dataset, run.model, run.seed) for run in suite.runs):
        if suite.recipe(base[1]).weights is None:
            add(base[0], base[1], suite.recipe(base[1]).epochs, 1.0)
    for run in suite.runs:
        left = macs_left(suite, run)
        for epochs in epochs_of_trainings(suite, run, left):
            add(run.dataset, run.model, epochs, left)
    return Estimate(seconds / 3600, trainings, tuple(unknown))


def macs_left(suite: Suite, run: Run) -> float:
    """Rough share of the MACs that a run keeps."""
    plan = suite.plans[run.plan]
    if plan.budget == "macs":
        return 1 - run.ratio
    return (1 - run.ratio) ** 2 if run.plan == "uniform" else 1.0


def epochs_of_trainings(suite: Suite, run: Run, left: float) -> list[float]:
    """Epochs of each training of a run."""
    base, finetuning = suite.recipe(run.model), suite.finetuning(run.model)
    recovery = suite.methods[run.method].recovery
    passes = epochs_of(recovery, base.epochs, finetuning.epochs, 1 / left, suite.scratch_b_limit)
    trainings = len(finetuning.tuned_factors) if recovery == "finetune_tuned" else 1
    return [passes] * trainings if passes else []


def as_sentence(suite: Suite, estimate: Estimate) -> str:
    """The line that a dry run prints about the suite."""
    text = (
        f"suite {suite.suite}: {len(suite.runs):,} runs in {len(suite.prune_jobs):,} jobs, "
        f"{estimate.trainings:,} trainings, about {estimate.hours:,.{0 if estimate.hours >= 10 else 1}f} GPU hours "
        f"(an estimate from config/costs.yaml: training alone, one assumed GPU)"
    )
    return text + (f"; not counted: {', '.join(estimate.unknown)}" if estimate.unknown else "")
