"""A one-stage detector like YOLOv8: C2f blocks, SPPF, a path-aggregation neck, decoupled heads, distributions of edges.

Boxes are distributions over distances to the four edges, whose means a frozen convolution computes (Generalized Focal
Loss, Li et al. 2020).
"""

from typing import Any

import torch
from torch import Tensor, nn

BINS = 8


class ConvBlock(nn.Module):
    """Convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two convolutions, and a skip connection if asked for."""

    def __init__(self, width: int, shortcut: bool) -> None:
        super().__init__()
        self.cv1, self.cv2 = ConvBlock(width, width, 3), ConvBlock(width, width, 3)
        self.add = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        return x + self.cv2(self.cv1(x)) if self.add else self.cv2(self.cv1(x))


class C2f(nn.Module):
    """Half of the channels go through bottlenecks, all of whose outputs are concatenated."""

    def __init__(self, inputs: int, outputs: int, count: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        self.c = outputs // 2
        self.cv1, self.cv2 = ConvBlock(inputs, 2 * self.c), ConvBlock((2 + count) * self.c, outputs)
        self.m = nn.ModuleList(Bottleneck(self.c, shortcut) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, inputs, h, w) -> (n, outputs, h, w)."""
        y = list(self.cv1(x).chunk(2, 1))
        y.extend(m(y[-1]) for m in self.m)
        return self.cv2(torch.cat(y, 1))


class SPPF(nn.Module):
    """One max pool, three times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = ConvBlock(width, width // 2), ConvBlock(2 * width, width)
        self.m = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        y = [self.cv1(x)]
        y.extend(self.m(y[-1]) for _ in range(3))
        return self.cv2(torch.cat(y, 1))


class MeanEdge(nn.Module):
    """The mean of each of four distributions, by a frozen convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(BINS, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.data[:] = torch.arange(BINS).float().view(1, BINS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, 4 * BINS, anchors) -> (n, 4, anchors)."""
        n, _, anchors = x.shape
        return self.conv(x.view(n, 4, BINS, anchors).transpose(2, 1).softmax(1)).view(n, 4, anchors)


class Detect(nn.Module):
    """A head per level; boxes and scores of all anchors, and the raw maps of each level."""

    def __init__(self, classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.outputs = classes + 4 * BINS
        self.sizes = (4 * BINS, classes)
        self.boxes = nn.ModuleList(self._branch(width, 32, 4 * BINS) for width in widths)
        self.classes = nn.ModuleList(self._branch(width, 32, classes) for width in widths)
        self.dfl = MeanEdge()

    @staticmethod
    def _branch(inputs: int, width: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(ConvBlock(inputs, width, 3), ConvBlock(width, width, 3), nn.Conv2d(width, outputs, 1))

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Maps of each level -> (boxes and scores of all anchors, raw maps of each level)."""
        maps = [torch.cat([b(x), c(x)], 1) for x, b, c in zip(levels, self.boxes, self.classes, strict=True)]
        merged = torch.cat([x.view(x.shape[0], self.outputs, -1) for x in maps], 2)
        boxes, classes = merged.split(self.sizes, 1)
        return torch.cat((self.dfl(boxes), classes.sigmoid()), 1), maps


class Detector(nn.Module):
    """Backbone, neck and head."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(ConvBlock(3, w, 3, 2), ConvBlock(w, 2 * w, 3, 2), C2f(2 * w, 2 * w, 1, True))
        self.p3 = nn.Sequential(ConvBlock(2 * w, 4 * w, 3, 2), C2f(4 * w, 4 * w, 2, True))
        self.p4 = nn.Sequential(ConvBlock(4 * w, 8 * w, 3, 2), C2f(8 * w, 8 * w, 2, True))
        self.p5 = nn.Sequential(ConvBlock(8 * w, 16 * w, 3, 2), C2f(16 * w, 16 * w, 1, True), SPPF(16 * w))
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.up4, self.up3 = C2f(24 * w, 8 * w), C2f(12 * w, 4 * w)
        self.down3, self.down4 = ConvBlock(4 * w, 4 * w, 3, 2), ConvBlock(8 * w, 8 * w, 3, 2)
        self.out4, self.out5 = C2f(12 * w, 8 * w), C2f(24 * w, 16 * w)
        self.head = Detect(classes, (4 * w, 8 * w, 16 * w))

    def forward(self, x: Tensor) -> Any:
        """Images -> (boxes and scores of all anchors, maps of each level)."""
        p3 = self.p3(self.stem(x))
        p4 = self.p4(p3)
        p5 = self.p5(p4)
        up4 = self.up4(torch.cat([self.upsample(p5), p4], 1))
        out3 = self.up3(torch.cat([self.upsample(up4), p3], 1))
        out4 = self.out4(torch.cat([self.down3(out3), up4], 1))
        out5 = self.out5(torch.cat([self.down4(out4), p5], 1))
        return self.head([out3, out4, out5])


def detector() -> nn.Module:
    """Of the smallest size, for 20 classes."""
    return Detector(16, classes=20)
