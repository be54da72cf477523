"""LeNet as in Caffe's MNIST example: conv 20, pool, conv 50, pool, fc 500, classifier (LeCun et al. 1998)."""

from torch import nn

DEPTHS: tuple[int, ...] = ()


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """LeNet 20-50-500 for images of 28 pixels or more; 3x3 kernels and 100 units for smaller images."""
    small = image_size < 28
    kernel, padding, units = (3, 1, 100) if small else (5, 0, 500)
    side = image_size
    for _ in range(2):
        side = (side + 2 * padding - kernel + 1) // 2
    return nn.Sequential(
        nn.Conv2d(in_channels, 20, kernel, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, kernel, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * side * side, units),
        nn.ReLU(),
        nn.Linear(units, classes),
    )
