"""Images per second of one training epoch, measured in a process of its own.

    python -m benchmarks.speed.training suite resnet 20 bf16 2

plain     the loop that published scripts use: torchvision's transforms on PIL images, a DataLoader of two workers, SGD
suite     bench.training.loop.train
returned  the same, while glibc gives the memory of activations back after each step, as it does by default
in_place  the step alone, on one batch that is there already
"""

import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from bench.data import Dataset, Split
from bench.runs.allocation import keep_memory
from bench.suite import plugins
from bench.training.loop import Recipe, train

BATCH = 128
BATCHES = {"cifarnet": 40, "resnet-20": 16, "resnet-56": 8}
"""Batches of an epoch, so that each takes some seconds."""
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def rate(loop: str, family: str, depth: int | None, precision: str) -> float:
    """Images per second of the second epoch; the first warms up."""
    torch.manual_seed(0)
    net = plugins.load(plugins.MODELS, family).build(depth, 3, 32, 10)
    batches = BATCHES[family if depth is None else f"{family}-{depth}"]
    pixels = np.random.default_rng(0).integers(0, 256, (batches * BATCH, 32, 32, 3), dtype=np.uint8)
    labels = torch.from_numpy(np.random.default_rng(1).integers(0, 10, len(pixels)))
    if loop in ("suite", "returned"):
        if loop == "suite":
            keep_memory()
        return len(pixels) / _suite(net, pixels, labels, precision)
    keep_memory()
    net.train()
    if loop == "in_place":
        net.to(memory_format=torch.channels_last)
        images = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
        epochs = ([(images, labels[:BATCH])] * batches for _ in range(2))
    else:
        loader = _loader(pixels, labels)
        epochs = (loader for _ in range(2))
    optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, weight_decay=5e-4)
    for epoch in epochs:
        start, total = time.perf_counter(), 0.0
        for images, classes in epoch:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = F.cross_entropy(net(images).float(), classes)
            loss.backward()
            optimizer.step()
            total += loss.item()
    return len(pixels) / (time.perf_counter() - start)


def _suite(net: nn.Module, pixels: np.ndarray, labels: Tensor, precision: str) -> float:
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    train_split = Split((images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None], labels)
    few = Split(train_split.images[:8], labels[:8])
    dataset = Dataset("random", train_split, few, few, 10)
    recipe = Recipe(2, BATCH, 0.1, 0.9, 5e-4, "constant", ("crop", "flip"), precision)
    return train(net, dataset, recipe, 0)[-1].seconds


class _Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """As torchvision.datasets.CIFAR10: an array of pixels, each made into a PIL image and transformed."""

    def __init__(self, pixels: np.ndarray, labels: Tensor) -> None:
        from torchvision import transforms

        self.pixels, self.labels = pixels, labels.tolist()
        steps = [transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        self.transform = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def _loader(pixels: np.ndarray, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return torch.utils.data.DataLoader(  # type: ignore[return-value]
        _Pictures(pixels, labels), BATCH, shuffle=True, num_workers=2, persistent_workers=True
    )


if __name__ == "__main__":
    given_loop, given_family, given_depth, given_precision, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    print(rate(given_loop, given_family, int(given_depth) or None, given_precision))
