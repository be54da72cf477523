"""Fashion-MNIST: 70,000 articles of clothing, 28x28 grey (Xiao et al. 2017)."""

from pathlib import Path

from bench.data import Dataset
from bench.data._idx import load_idx

PACKAGE = Path("/usr/share/datasets/fashion-mnist")
"""Files of Debian's package dataset-fashion-mnist."""


def load(directory: Path, seed: int) -> Dataset:
    """55,000 training, 5,000 validation and 10,000 test images; found automatically with Debian's package."""
    return load_idx("fashion_mnist", "FashionMNIST", directory, seed, [PACKAGE])
