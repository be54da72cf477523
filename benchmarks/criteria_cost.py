"""The cost of each criterion next to a forward pass of the calibration images, on this machine.

    python -m benchmarks.criteria_cost --threads 1

ResNet-20 at 28 x 28 pixels with random weights, and random images. Times are medians of repeats that take turns, so
that a busy machine slows all equally. Prints a table for docs/methods.md.
"""

import argparse
import statistics
import time

import torch

from bench.suite import plugins
from nisp.classifiers import final_layers
from nisp.pruning.contract import Problem
from nisp.pruning.selection import keep_plan
from nisp.pruning.surgery import anatomy


def main() -> None:
    """Print the seconds of each criterion, and the same in forward passes of the same images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=1000)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    problem = _problem(given.images)
    criteria = {name: plugins.load(plugins.CRITERIA, name).score for name in plugins.available(plugins.CRITERIA)}
    seconds: dict[str, list[float]] = {name: [] for name in ("forward", *criteria)}
    for _ in range(given.repeats + 1):
        for name, times in seconds.items():
            start = time.perf_counter()
            criteria.get(name, _forward)(problem)
            times.append(time.perf_counter() - start)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first warms up
    forward = medians.pop("forward")
    print(f"{given.threads} threads, torch {torch.__version__}, {given.images} images, medians of {given.repeats};")
    print(f"a forward pass of the images takes {forward:.2f} s\n")
    print("| criterion | seconds | forward passes |\n|---|---|---|")
    for name, taken in sorted(medians.items(), key=lambda item: item[1]):
        print(f"| {name} | {taken:.3f} | {taken / forward:.2f} |")


def _problem(images: int) -> Problem:
    torch.manual_seed(0)
    model = plugins.load(plugins.MODELS, "resnet").build(20, 1, 28, 10).eval()
    groups = anatomy(model, torch.zeros(1, 1, 28, 28)).groups
    plan = keep_plan(groups, 0.5)
    labels = torch.randint(10, (images,))
    return Problem(
        model,
        groups,
        plan,
        torch.randn(images, 1, 28, 28),
        labels,
        next(iter(final_layers(model, torch.zeros(1, 1, 28, 28)))),
        seed=0,
    )


@torch.no_grad()
def _forward(problem: Problem) -> None:
    for images in problem.images.split(256):
        problem.model(images)


if __name__ == "__main__":
    main()
