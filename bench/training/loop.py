"""Training and fine-tuning: one loop, deterministic given its seed, that continues where it was killed."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.data import Dataset, FileSplit, Split
from bench.training import checkpoints, distributed
from bench.training.arithmetic import RepeatablePools, computing_as
from bench.training.augmentation import applied, augmented, check_augmentations, drawn
from bench.training.evaluation import accuracy, logits
from bench.training.out_of_memory import Kept, tell_of_parts
from bench.training.prefetching import ahead
from bench.training.schedules import SCHEDULES
from bench.training.streams import stream
from bench.training.telling import Telling
from nisp.errors import UserError
from nisp.pruning.memory import give_back, is_out_of_memory
from nisp.pruning.undisturbed import own_draws


@dataclass(frozen=True)
class Recipe:
    """One way to train: stochastic gradient descent with momentum, and its schedule."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: str
    augment: tuple[str, ...] = ()
    precision: str = "fp32"


@dataclass(frozen=True)
class Epoch:
    """One point of a learning curve; epoch 0 is before the first step."""

    epoch: int
    train_loss: float
    test_loss: float
    test_top1: float
    learning_rate: float
    seconds: float


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    checkpoint: Path | None = None,
    report: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train ``model`` in place by ``recipe`` and return its learning curve; the last epoch is the result, not the best.

    seed        fixes the order of images, their augmentation, and dropout
    checkpoint  file for the state in progress, from which a killed job continues to the same result
    report      is called after each epoch

    If torchrun started several processes, each computes its share of every batch, with the same result except for
    rounding and dropout (bench.training.distributed). A batch that does not fit in memory is computed in micro-batches
    whose gradients add up to the same mean; batch norm then takes its statistics from the micro-batches.

    UserError if the loss is not finite.
    """
    return distributed.together(_train, model, dataset, recipe, seed, checkpoint, report=report)


def _train(model: nn.Module, dataset: Dataset, recipe: Recipe, *rest: Any, report: Any = None) -> list[Epoch]:
    with own_draws(dataset.train.images.device), computing_as(recipe.precision):
        return _trained(model, dataset, recipe, *rest, report=report)


def _trained(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    checkpoint: Path | None,
    *,
    report: Callable[[Epoch], None] | None,
) -> list[Epoch]:
    model.to(memory_format=torch.channels_last)
    steps = math.ceil(len(dataset.train.labels) / recipe.batch_size)
    factor = SCHEDULES[recipe.schedule]
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    saved_state = distributed.from_leader(lambda: checkpoints.read(checkpoint))
    curve = [Epoch(**epoch) for epoch in checkpoints.resume(saved_state, model, optimizer, generator)]
    if not curve:
        curve = [_evaluated(model, dataset, 0, math.nan, recipe.learning_rate, 0.0)]
    net = distributed.parallel(model)
    micro_batch, statistics = recipe.batch_size, Kept(model.buffers())
    saved, telling = time.monotonic(), Telling(len(curve) - 1, recipe.epochs)
    for epoch in range(len(curve) - 1, recipe.epochs):
        start = time.perf_counter()
        model.train()
        # Dropout draws from torch's own generator; seeded by epoch, so that a killed training continues identically.
        torch.manual_seed(stream(seed, "dropout", epoch, distributed.rank()))
        total = torch.zeros((), device=dataset.train.images.device)
        batches = _batches(dataset, recipe, generator)
        for step, (images, labels, count) in enumerate(batches):
            done = epoch * steps + step
            rate = recipe.learning_rate * factor(done / (recipe.epochs * steps), done)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, micro_batch = _step(net, optimizer, images, labels, recipe.precision, count, micro_batch, statistics)
            total += loss * count / distributed.size()
        mean = distributed.summed(total).item() / len(dataset.train.labels)
        if not math.isfinite(mean):
            raise UserError(f"the training loss is {mean} in epoch {epoch + 1}: try a smaller learning rate")
        curve.append(_evaluated(model, dataset, epoch + 1, mean, rate, time.perf_counter() - start))
        if distributed.leads():
            telling.epoch(epoch + 1, mean, curve[-1].test_top1)
        if report:
            report(curve[-1])
        if checkpoint and distributed.leads() and checkpoints.is_due(saved):
            checkpoints.save(checkpoint, model, optimizer, generator, [asdict(epoch) for epoch in curve])
            saved = time.monotonic()
    model.eval()
    if checkpoint and distributed.leads():
        checkpoint.unlink(missing_ok=True)
    return curve


Batch = tuple[Tensor, Tensor, int]
"""This process's share of a batch: images and labels; and the number of images in the whole batch."""


def _batches(dataset: Dataset, recipe: Recipe, generator: torch.Generator) -> Iterator[Batch]:
    """Shuffled, augmented batches of one epoch."""
    order = torch.randperm(len(dataset.train.labels), generator=generator)
    if isinstance(dataset.train, FileSplit):
        return ahead(_decoded(dataset.train, recipe, order, generator))
    return _in_memory(dataset.train, recipe, order, generator)


def _decoded(split: FileSplit, recipe: Recipe, order: Tensor, generator: torch.Generator) -> Iterator[Batch]:
    for chosen in order.split(recipe.batch_size):
        mine = distributed.share(len(chosen))
        batch = augmented(split.images, chosen, recipe.augment, generator, mine)
        yield batch.contiguous(memory_format=torch.channels_last), split.labels[chosen[mine]], len(chosen)


def _in_memory(split: Split, recipe: Recipe, order: Tensor, generator: torch.Generator) -> Iterator[Batch]:
    """All random numbers of the epoch are sent to the images' device at once, so that no step waits for them."""
    images, labels = split
    check_augmentations(recipe.augment)
    counts = [len(part) for part in order.split(recipe.batch_size)]
    numbers = {name: v.to(images.device) for name, v in drawn(recipe.augment, counts, generator).items()}
    order, start = order.to(images.device), 0
    for count in counts:
        mine = distributed.share(count)
        chosen = order[start : start + count][mine]
        of_batch = {name: values[..., start : start + count][..., mine] for name, values in numbers.items()}
        batch = applied(images[chosen], of_batch)
        yield batch.contiguous(memory_format=torch.channels_last), labels[chosen], count
        start += count


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    precision: str,
    count: int,
    micro_batch: int,
    statistics: Kept,
) -> tuple[Tensor, int]:
    """One gradient step on this process's share of ``count`` images, at most ``micro_batch`` of them at once.

    Returns its share of the mean loss (distributed.weight), and the micro-batch size that fitted in memory.
    """
    if distributed.size() == 1:
        statistics.keep()
    while True:
        optimizer.zero_grad(set_to_none=True)
        try:
            loss = torch.zeros((), device=images.device)
            for some, of_some in zip(images.split(micro_batch), labels.split(micro_batch), strict=True):
                loss += _backward(model, some, of_some, precision, count)
            break
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            micro_batch = min(micro_batch, len(labels))
            # Processes that train together would wait for each other forever if one used smaller micro-batches.
            if micro_batch == 1 or distributed.size() > 1:
                raise UserError(
                    f"out of memory at {micro_batch} of a batch's images: use a smaller batch_size or more GPUs"
                ) from None
        give_back()
        micro_batch = math.ceil(micro_batch / 2)
        tell_of_parts("trained on")
        statistics.restore()  # as batch norm was before the attempt
    optimizer.step()
    return loss, micro_batch


def _backward(model: nn.Module, images: Tensor, labels: Tensor, precision: str, count: int) -> Tensor:
    """Adds the gradient of these images' share of the mean loss over ``count``, and returns that share."""
    weight = distributed.weight(len(labels), count)
    with (
        distributed.SharedBatchNorm(count) if distributed.shared(count) else contextlib.nullcontext(),
        RepeatablePools() if images.is_cuda else contextlib.nullcontext(),
        torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"),
    ):
        loss = F.cross_entropy(model(images).float(), labels) * weight
    loss.backward()
    return loss.detach()


def _evaluated(model: nn.Module, dataset: Dataset, epoch: int, loss: float, rate: float, seconds: float) -> Epoch:
    images = dataset.test.images
    outputs = distributed.in_shares(lambda mine: logits(model, images[mine]), len(images))
    test_loss = F.cross_entropy(outputs, dataset.test.labels).item()
    return Epoch(epoch, loss, test_loss, accuracy(outputs, dataset.test.labels), rate, seconds)


@torch.no_grad()
def recalibrate(model: nn.Module, images: Tensor, batch_size: int = 128) -> None:
    """Re-estimate every batch norm's mean and variance on ``images``, in place: plain averages over the batches."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's cumulative average
        norm.train()
    for batch in images.split(batch_size):
        model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def reinitialise(model: nn.Module, seed: int) -> None:
    """Give every layer fresh random weights, in place: the start of training from scratch.

    The CPU draws them, so they are the same whatever device holds the network.
    """
    held = next(model.parameters()).device
    model.cpu()
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.modules.batchnorm._BatchNorm):
                module.reset_parameters()
    model.to(held)
