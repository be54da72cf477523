"""Cifar-net as in Caffe's cifar10_quick: conv 32-32-64 of 5x5, ip1 64, classifier (Krizhevsky's cuda-convnet).

Pools are 3x3 of stride 2, the first a maximum, the others means; like Caffe's, they round up at the border. There is
no activation between ip1 and the classifier.
"""

import math
from collections import OrderedDict

from torch import nn

DEPTHS: tuple[int, ...] = ()


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """Made for images of 28 and 32 pixels; other sizes change how many inputs ip1 has."""
    side = image_size
    for _ in range(3):
        side = math.ceil((side - 3) / 2) + 1
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 32, 5, padding=2),
            pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 32, 5, padding=2),
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(3, 2, ceil_mode=True),
            conv3=nn.Conv2d(32, 64, 5, padding=2),
            relu3=nn.ReLU(),
            pool3=nn.AvgPool2d(3, 2, ceil_mode=True),
            flatten=nn.Flatten(),
            ip1=nn.Linear(64 * side * side, 64),
            ip2=nn.Linear(64, classes),
        )
    )
