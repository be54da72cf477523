"""Scikit-learn's handwritten digits: 1,797 real 8x8 grey images of 10 classes (UCI, Alpaydin and Kaynak 1998)."""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bench.data import Dataset, Split, normalised


def load(directory: Path, seed: int) -> Dataset:
    """Stratified split into 60 % training, 20 % validation and 20 % test, fixed by ``seed``; nothing is downloaded."""
    images, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
    train, validation = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=seed)

    def split(indices: np.ndarray) -> Split:
        pixels = torch.from_numpy(images[indices]).float().reshape(-1, 1, 8, 8)
        return Split(pixels, torch.from_numpy(labels[indices]).long())

    return normalised("digits", split(train), split(validation), split(test), classes=10)
