"""A detector like DETR (Carion et al. 2020): convolutions, a transformer, and learned queries of objects."""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


class Detr(nn.Module):
    """Maps become tokens, which a transformer encodes; its decoder turns queries into objects."""

    def __init__(self, width: int, queries: int, classes: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 32, 7, 2, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
            BasicBlock(32, 32), BasicBlock(32, 64, 2, self._shortcut(32, 64)), BasicBlock(64, 64),
        )  # fmt: skip
        self.project = nn.Conv2d(64, width, 1)
        self.transformer = nn.Transformer(width, 4, 2, 2, 4 * width, batch_first=True)
        self.queries = nn.Parameter(torch.rand(queries, width))
        self.rows, self.columns = (nn.Parameter(torch.rand(50, width // 2)) for _ in range(2))
        self.classes = nn.Linear(width, classes + 1)
        self.boxes = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 4)])

    @staticmethod
    def _shortcut(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Images -> logits and boxes of each query."""
        maps = self.project(self.backbone(pixel_values))
        h, w = maps.shape[-2:]
        places = torch.cat(
            [self.columns[:w].unsqueeze(0).repeat(h, 1, 1), self.rows[:h].unsqueeze(1).repeat(1, w, 1)], dim=-1
        ).flatten(0, 1)
        tokens = places.unsqueeze(0) + 0.1 * maps.flatten(2).permute(0, 2, 1)
        hidden = self.transformer(tokens, self.queries.unsqueeze(0).expand(maps.shape[0], -1, -1))
        first, second, third = self.boxes
        return {"logits": self.classes(hidden), "boxes": third(second(first(hidden).relu()).relu()).sigmoid()}


def detr() -> nn.Module:
    """Two layers in the encoder and in the decoder, 10 queries, 20 classes."""
    return Detr(64, queries=10, classes=20)
