"""Outputs of a network, and their accuracy."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.data import FileSplit, Images, Split
from bench.training.out_of_memory import in_halves
from nisp.pruning.contract import evaluating

EVALUATION_BATCH = 512
EVALUATION_PIXELS = 2**22
"""Pixels in a batch, at most: 83 images of 224x224, whose activations fit in memory with any network of the zoo."""


def logits(model: nn.Module, images: Images) -> Tensor:
    """Outputs in eval mode, shape (n, classes); the model's mode is restored."""
    return _answers(model, model, images)


def classifier_inputs(model: nn.Module, images: Images, classifier: str) -> Tensor:
    """Inputs of the layer called ``classifier`` in eval mode, shape (n, features): the final responses."""
    read: list[Tensor] = []

    def answer(batch: Tensor) -> Tensor:
        read.clear()
        model(batch)
        return read[0]

    with model.get_submodule(classifier).register_forward_pre_hook(lambda _, inputs: read.append(inputs[0])):
        return _answers(model, answer, images)


@torch.no_grad()
def _answers(model: nn.Module, answer: Callable[[Tensor], Tensor], images: Images) -> Tensor:
    """``answer`` of all images, batch by batch, with ``model`` in eval mode."""
    size = min(EVALUATION_BATCH, max(1, EVALUATION_PIXELS // images.shape[2:].numel()))
    with evaluating(model):
        return torch.cat([in_halves(answer, batch) for batch in images.split(size)])


def top1(model: nn.Module, split: Split | FileSplit) -> float:
    """Accuracy in per cent."""
    return accuracy(logits(model, split.images), split.labels)


def accuracy(outputs: Tensor, labels: Tensor) -> float:
    """Per cent of rows whose largest output is the label's."""
    return 100 * (outputs.argmax(1) == labels).float().mean().item()


def top5(outputs: Tensor, labels: Tensor) -> float:
    """Per cent of rows whose label is among the five largest outputs; NaN for at most five classes."""
    if outputs.shape[1] <= 5:
        return math.nan
    return 100 * (outputs.topk(5).indices == labels[:, None]).any(1).float().mean().item()
