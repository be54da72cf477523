"""What is measured of a network: accuracy, agreement, size, latency, and the error of its final responses."""

import copy
import math
import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.data import FileSplit, Images, Split
from bench.runs.hidden import hidden
from bench.training.out_of_memory import in_halves

with hidden("timm", "torchvision"):
    from ptflops import get_model_complexity_info

EVALUATION_BATCH = 512
EVALUATION_PIXELS = 2**22
"""A batch has at most so many: 83 images of 224 pixels a side, of which the activations of any of our nets fit."""


@torch.no_grad()
def logits(model: nn.Module, images: Images) -> Tensor:
    """Outputs in eval mode, shape (n, classes); the model's mode is put back."""
    training = model.training
    model.eval()
    size = min(EVALUATION_BATCH, max(1, EVALUATION_PIXELS // images.shape[2:].numel()))
    outputs = torch.cat([in_halves(model, batch) for batch in images.split(size)])
    model.train(training)
    return outputs


def top1(model: nn.Module, split: Split | FileSplit) -> float:
    """Accuracy in per cent."""
    return accuracy(logits(model, split.images), split.labels)


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Per cent of rows whose largest output is the label's."""
    return 100 * (outputs.argmax(1) == labels).float().mean().item()


def top5(outputs: Tensor, labels: Tensor) -> float:
    """Per cent of rows whose label is among the five largest outputs; NaN where there are no more than five classes."""
    if outputs.shape[1] <= 5:
        return math.nan
    return 100 * (outputs.topk(5).indices == labels[:, None]).any(1).float().mean().item()


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates of one image, and parameters, both as ptflops counts them."""

    macs: int
    params: int


def cost(model: nn.Module, example: Tensor) -> Cost:
    """MACs of one image of ``example``'s shape, and parameters, by ptflops' layer-wise counter."""
    counted = copy.deepcopy(model)  # ptflops leaves methods on it, which keep it from being sent to other processes
    macs, params = get_model_complexity_info(
        counted,
        tuple(example.shape[1:]),
        as_strings=False,
        print_per_layer_stat=False,
        backend="pytorch",
        verbose=False,
    )
    return Cost(int(macs), int(params))


@torch.no_grad()
def latencies_ms(models: list[nn.Module], example: Tensor, batch: int, repeats: int = 9) -> list[float]:
    """Median milliseconds of a forward pass of ``batch`` images for each model, the models taking turns.

    Turns, so that a machine whose speed drifts slows all models alike; two uncounted rounds warm up.
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


@torch.no_grad()
def final_responses(model: nn.Module, images: Images, classifier: str) -> Tensor:
    """Inputs of the classifier, shape (n, features)."""
    seen: list[Tensor] = []
    handle = model.get_submodule(classifier).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    logits(model, images)
    handle.remove()
    return torch.cat(seen)


def ware(original: Tensor, pruned: Tensor, weights: Tensor) -> float:
    """Weighted average relative error of the final responses that were kept (NISP, section 4.5).

    original, pruned  responses, shape (n, features kept), weights  their importance, shape (features kept,).

    The paper divides by each response, which is undefined where a ReLU is off. Here the weighted errors are
    summed first and divided by the weighted sum of the original magnitudes, so that 0 is perfect and 1 is as
    bad as answering zero.
    """
    weights = weights.to(original)
    error = ((pruned - original).abs() * weights).sum()
    scale = (original.abs() * weights).sum()
    return (error / scale.clamp_min(torch.finfo(scale.dtype).tiny)).item()
