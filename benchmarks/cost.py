"""The cost of NISP's scores next to a forward pass and torch-pruning's Taylor importance, on this machine.

    python -m benchmarks.cost --threads 2

ResNet-50 at 224 x 224 with random weights and given scores of the final responses. Times are medians of repeats that
take turns, so that a busy machine slows all equally. Peaks are growths of resident memory, each in its own process.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch_pruning as tp
import torchvision

import nisp

BATCH, SMALL_BATCH = 32, 8


def main() -> None:
    """Print four ratios and two times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", choices=["scoring", "forward"], help="measure only this peak, in this process")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    if given.peak:
        print(_peak(given.peak))
        return
    model, image, images = _model(), torch.randn(1, 3, 224, 224), torch.randn(BATCH, 3, 224, 224)
    frl_scores = torch.rand(2048)
    responses = torch.randn(5000, 4096).relu()
    seconds = _medians(
        {
            "scoring": lambda: nisp.scores(model, image, frl_scores=frl_scores),
            "forward": lambda: _forward(model, images),
            "taylor": _taylor(model, images),
            "inf_fs": lambda: nisp.inf_fs(responses),
        },
        given.repeats,
    )
    peaks = {what: _measured_apart(what, given.threads) for what in ("scoring", "forward")}
    print(f"{given.threads} threads, torch {torch.__version__}, medians of {given.repeats}")
    print(f"scoring {seconds['scoring']:.3f} s, forward pass of batch {BATCH} {seconds['forward']:.2f} s:", end=" ")
    print(f"ratio {seconds['scoring'] / seconds['forward']:.3f}")
    print(
        f"Taylor importance on batch {BATCH} {seconds['taylor']:.2f} s: {seconds['taylor'] / seconds['scoring']:.0f} x"
    )
    print(f"peak memory of scoring {peaks['scoring']:.0f} MB, of a forward pass of batch {SMALL_BATCH}", end=" ")
    print(f"{peaks['forward']:.0f} MB: ratio {peaks['scoring'] / peaks['forward']:.2f}")
    print(f"Inf-FS of 4,096 features x 5,000 samples {seconds['inf_fs']:.2f} s")


def _model() -> torch.nn.Module:
    return torchvision.models.resnet50(weights=None).eval()


@torch.no_grad()
def _forward(model: torch.nn.Module, images: torch.Tensor) -> None:
    model(images)


def _taylor(model: torch.nn.Module, images: torch.Tensor) -> Callable[[], None]:
    """Forward, backward, and the importance of every group; building the graph is not counted."""
    graph = tp.DependencyGraph().build_dependency(model, images[:1])
    groups = list(graph.get_all_groups(ignored_layers=[model.fc]))
    importance = tp.importance.GroupTaylorImportance()
    labels = torch.randint(1000, (len(images),))

    def run() -> None:
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        for group in groups:
            importance(group)

    return run


def _medians(tasks: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds; each counted run follows an uncounted one of the same task, which warms caches and memory."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            task()
            start = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def _measured_apart(what: str, threads: int) -> float:
    command = [sys.executable, "-m", "benchmarks.cost", "--peak", what, "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak(what: str) -> float:
    """Growth of this process's largest resident memory, in MB."""
    model, images, frl_scores = _model(), torch.randn(SMALL_BATCH, 3, 224, 224), torch.rand(2048)
    before = _largest()
    if what == "scoring":
        nisp.scores(model, images[:1], frl_scores=frl_scores)
    else:
        _forward(model, images)
    return _largest() - before


def _largest() -> float:
    # getrusage would count the memory of the process that started this one.
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024


if __name__ == "__main__":
    main()
