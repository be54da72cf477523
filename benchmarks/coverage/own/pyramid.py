"""A feature pyramid whose heads run at every level (FPN and RetinaNet, Lin et al. 2017), with group norm in them."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


class Head(nn.Module):
    """One head for all levels."""

    def __init__(self, width: int, outputs: int, anchors: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.GroupNorm(8, width), nn.ReLU()]
        self.tower = nn.Sequential(*layers)
        self.out = nn.Conv2d(width, anchors * outputs, 3, padding=1)
        self.outputs = outputs

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Per level, shape (n, anchors of the level, outputs)."""
        return [
            self.out(self.tower(x)).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.outputs) for x in levels
        ]  # fmt: skip


class Pyramid(nn.Module):
    """A residual network, lateral connections, and heads."""

    def __init__(self, widths: tuple[int, ...], width: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, 2, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(BasicBlock(a, b, 2, self._shortcut(a, b)), BasicBlock(b, b)) for a, b in pairwise(widths)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(b, width, 1) for b in widths[1:])
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in widths[1:])
        self.classes, self.boxes = Head(width, classes), Head(width, 4)

    @staticmethod
    def _shortcut(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        """Images -> the name of a head -> its outputs per level."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        merged: list[Tensor] = []
        for lateral, x in zip(reversed(self.lateral), reversed(maps), strict=True):
            side = lateral(x)
            if merged:
                side = side + F.interpolate(merged[0], size=side.shape[-2:], mode="nearest")
            merged.insert(0, side)
        levels = [smooth(x) for smooth, x in zip(self.smooth, merged, strict=True)]
        return {"classes": self.classes(levels), "boxes": self.boxes(levels)}


def pyramid() -> nn.Module:
    """Three levels, 20 classes."""
    return Pyramid((16, 32, 64, 128), 64, classes=20)
