"""Plain convolutional nets of any depth: more of the same layers, to study the effect of depth."""

from torch import nn

DEPTHS = (4, 6, 8, 10, 14)


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """``depth`` 3x3 convolutions with batch norm and ReLU; width 16, then 32 at half the resolution; mean pool."""
    assert depth is not None
    layers: list[nn.Module] = []
    width_in = in_channels
    for index in range(depth):
        width = 16 if index < depth // 2 else 32
        if index == depth // 2:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.Conv2d(width_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        width_in = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width_in, classes))
