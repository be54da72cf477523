"""Residual nets for small images: depth 6n + 2, widths 16-32-64 (He et al. 2016, section 4.2).

Shortcuts that change the width are 1x1 convolutions with batch norm (the paper's option B), so that channels of
the residual stream can be removed.
"""

import torch
from torch import Tensor, nn

DEPTHS = (8, 14, 20, 56, 110)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, width, height / stride, width of the image / stride)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, three stages of n blocks, mean pool, classifier."""

    def __init__(self, depth: int, in_channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        blocks, width_in = [], 16
        for stage, width in enumerate((16, 32, 64)):
            for index in range((depth - 2) // 6):
                blocks.append(Block(width_in, width, stride=2 if stage > 0 and index == 0 else 1))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (n, classes)."""
        x = torch.relu(self.bn(self.conv(x)))
        return self.classifier(self.pool(self.blocks(x)).flatten(1))


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """A ResNet of ``depth`` = 6n + 2 layers."""
    assert depth is not None
    return ResNet(depth, in_channels, classes)
