"""Latency of forward passes, measured side by side."""

import statistics
import time

import torch
from torch import Tensor, nn


@torch.no_grad()
def latencies_ms(models: list[nn.Module], example: Tensor, batch: int, repeats: int = 9) -> list[float]:
    """Median milliseconds of a forward pass of ``batch`` images for each model, the models taking turns.

    They take turns so that a change in the machine's speed affects all models equally; the first two rounds warm up and
    are not counted.
    """
    images = example.expand(batch, *example.shape[1:]).contiguous()
    seconds: list[list[float]] = [[] for _ in models]
    for round_ in range(repeats + 2):
        for model, times in zip(models, seconds, strict=True):
            model.eval()
            start = time.perf_counter()
            model(images)
            if images.is_cuda:
                torch.cuda.synchronize()
            if round_ >= 2:
                times.append(time.perf_counter() - start)
    return [1000 * statistics.median(times) for times in seconds]
