"""CIFAR-10: 60,000 colour photographs of 32x32, 10 classes (Krizhevsky 2009)."""

from pathlib import Path

from bench.data import Dataset


def load(directory: Path, seed: int) -> Dataset:
    """45,000 training, 5,000 validation and 10,000 test images."""
    from torchvision.datasets import CIFAR10

    from bench.data._cifar import load_cifar

    return load_cifar("cifar10", CIFAR10, directory, seed, classes=10)
