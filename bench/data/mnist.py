"""MNIST: 70,000 handwritten digits, 28x28 grey (LeCun et al. 1998)."""

from pathlib import Path

from bench.data import Dataset
from bench.data._idx import load_idx


def load(directory: Path, seed: int) -> Dataset:
    """55,000 training, 5,000 validation and 10,000 test images."""
    return load_idx("mnist", "MNIST", directory, seed)
