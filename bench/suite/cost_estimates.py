"""How many GPU hours a suite's trainings take, roughly, and before anything is built."""

from dataclasses import dataclass

from bench.suite.fields import Strict
from bench.suite.grid import Run
from bench.suite.plugins import ROOT
from bench.suite.schema import Suite
from bench.suite.specs import DatasetSpec, ModelSpec
from bench.training.recoveries import epochs_of

COST_FILE = ROOT / "config" / "costs.yaml"


class Device(Strict):
    """What one GPU does in training: 10^12 multiply-accumulates a second, and seconds that a step takes at least."""

    tera_macs_per_second: float
    seconds_per_step: float


class Data(Strict):
    """A data set's training images and their side in pixels."""

    images: int
    side: int


class Network(Strict):
    """In millions: multiply-accumulates of one image, parameters, and numbers that modules write for one image."""

    macs: float
    params: float
    activations: float


class CostTable(Strict):
    """config/costs.yaml; ``networks`` by label@side."""

    device: Device
    datasets: dict[str, Data]
    networks: dict[str, Network]

    def side(self, dataset: DatasetSpec) -> int | None:
        """Pixels a side of the data set's images in a suite, None where it is not known."""
        known = self.datasets.get(dataset.name)
        return dataset.side or (known.side if known else None)

    def network(self, model: ModelSpec, dataset: DatasetSpec) -> Network | None:
        """What the model costs on images of the data set, None where it is not known."""
        return self.networks.get(f"{model.label}@{self.side(dataset)}")


@dataclass(frozen=True)
class Estimate:
    """GPU hours of the trainings, how many trainings there are, and what could not be counted."""

    hours: float
    trainings: int
    unknown: tuple[str, ...]


def estimated(suite: Suite, costs: CostTable) -> Estimate:
    """Hours of all trainings of a suite: base networks, fine-tuning and training from scratch.

    An image costs three forward passes. A uniformly pruned network has about (1 - ratio)^2 of the MACs, one by a budget
    of MACs 1 - ratio; what a plan by layers leaves is not known here, and taken as the whole.
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
    """Share of the MACs that a run leaves, roughly."""
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
    """What a dry run says of the suite."""
    text = (
        f"suite {suite.suite}: {len(suite.runs):,} runs in {len(suite.prune_jobs):,} jobs, "
        f"{estimate.trainings:,} trainings, about {estimate.hours:,.{0 if estimate.hours >= 10 else 1}f} GPU hours "
        f"(an estimate from config/costs.yaml: training alone, one assumed GPU)"
    )
    return text + (f"; not counted: {', '.join(estimate.unknown)}" if estimate.unknown else "")
