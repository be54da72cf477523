"""U-Net (Ronneberger, Fischer, Brox 2015), with padding and batch norm, for segmentation."""

from itertools import pairwise

import torch
from torch import Tensor, nn


def block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions."""
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """An encoder whose maps are concatenated to those of a decoder of transposed convolutions."""

    def __init__(self, widths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = block(3, widths[0])
        self.down = nn.ModuleList(nn.Sequential(nn.MaxPool2d(2), block(a, b)) for a, b in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(pairs))
        self.merge = nn.ModuleList(block(2 * a, a) for a, _ in reversed(pairs))
        self.classifier = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images, shape (n, 3, h, w) -> logits, shape (n, classes, h, w)."""
        maps = [self.stem(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([maps.pop(), up(x)], dim=1))
        return self.classifier(x)


def unet() -> nn.Module:
    """Four levels."""
    return UNet((16, 32, 64, 128), classes=21)
