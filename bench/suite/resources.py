"""Memory and time that a job requests from a scheduler, computed from its suite alone; needs no torch."""

import math

from bench.suite import plugins
from bench.suite.cost_estimates import CostTable, epochs_of_trainings, macs_left
from bench.suite.grid import Job
from bench.suite.schema import Suite

START_MB = 2000
"""Python, torch and the project's code."""
ACTIVATIONS_PER_PIXEL = 450
"""For a network that is not in the cost table: ResNet-50's, the largest value in the zoo."""
BYTES_PER_ACTIVATION = 6
"""In training: four bytes are kept for the backward pass; on CPUs, 4.0 (ResNet-50) to 7.6 (LeNet) were measured."""
BYTES_PER_PARAMETER = 16
"""The weight, its gradient, its momentum, and a copy."""
START_MINUTES = 10
EPOCH_MINUTES = 20
"""One pass over 1.3 million images of 224x224 pixels; the time is proportional to the number of pixels."""


def image_side(suite: Suite, costs: CostTable, dataset: str) -> int:
    """Side in pixels; for a data set that is not in the cost table, 224 if its size can be chosen, else 32."""
    spec = suite.dataset(dataset)
    return costs.side(spec) or (224 if "image_size" in plugins.data_options(spec.name) else 32)


def memory_mb(suite: Suite, costs: CostTable, job: Job, data_mb: float, attempt: int) -> int:
    """Memory of a job (data set, label, ...): its network, one training batch, and four copies of the data.

    Each attempt asks for more.
    """
    dataset, label, *_ = job
    model = next(model for model in suite.models if model.label == label)
    network = costs.network(model, suite.dataset(dataset))
    if network is None:
        activations, params = ACTIVATIONS_PER_PIXEL * image_side(suite, costs, dataset) ** 2 / 1e6, 0.0
    else:
        activations, params = network.activations, network.params
    training = suite.recipe(model).batch_size * activations * BYTES_PER_ACTIVATION + params * BYTES_PER_PARAMETER
    return attempt * math.ceil(START_MB + 4 * data_mb + training)


def runtime_minutes(suite: Suite, costs: CostTable, job: Job, attempt: int) -> int:
    """Time of a job: the epochs of all its trainings; each attempt asks for more.

    A generous guess for a fast GPU. A job that runs out of time continues at its next attempt.
    """
    dataset = job[0]
    minutes = START_MINUTES + _epochs(suite, job) * EPOCH_MINUTES * (image_side(suite, costs, dataset) / 224) ** 2
    return attempt * math.ceil(minutes)


def urgencies(suite: Suite) -> dict[Job, float]:
    """Job -> passes over the training images, in this job and the longest job that waits for it.

    If the longest chains start first, no core waits for one of them at the end.
    """
    urgency = {job: _epochs(suite, job) for job in suite.prune_jobs}
    waiting: dict[Job, float] = {}
    for job, length in urgency.items():
        waiting[job[:3]] = max(length, waiting.get(job[:3], 0))
    return urgency | {job: _epochs(suite, job) + waiting.get(job, 0) for job in suite.base_jobs}


def _epochs(suite: Suite, job: Job) -> float:
    """Passes over the training images, including one per run for scoring and measuring."""
    if job in suite.base_jobs:
        return sum(suite.recipe(model).epochs for _, model, _ in suite.base_jobs[job])
    runs = suite.prune_jobs[job]
    return len(runs) + sum(sum(epochs_of_trainings(suite, run, macs_left(suite, run))) for run in runs)
