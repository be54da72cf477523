"""Networks of an own module, as users write them, for the tests of saving."""

import functools
import math
from collections import OrderedDict
from enum import Enum

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Layout(Enum):
    """How images are laid out."""

    FIRST = "nchw"
    LAST = "nhwc"


def swish(x, beta=1.0):
    return x * torch.sigmoid(beta * x)


class Block(nn.Module):
    def __init__(self, channels, act=F.relu, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, channels, 3, padding=1), norm(channels)
        self.act, self.norm_layer = act, norm

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Everything(nn.Module):
    """Every kind of attribute, child and tensor that can be saved."""

    def __init__(self):
        super().__init__()
        self.stem = Block(3, act=torch.tanh)
        self.first, self.second = Block(3), Block(3, act=functools.partial(swish, beta=2.0))
        self.again = self.first  # one module under two names
        self.pool, self.missing = F.adaptive_avg_pool2d, None
        self.tied, self.other = nn.Linear(3, 3, bias=False), nn.Linear(3, 3)
        self.other.weight = self.tied.weight
        self.frozen = nn.Parameter(torch.randn(3), requires_grad=False)
        self.register_parameter("absent", None)
        self.register_buffer("kept", torch.tensor([1.0, 2.0, 3.0]))
        self.register_buffer("index", torch.tensor([2, 0, 1]), persistent=False)
        self.register_module("nothing", None)
        self.scale = torch.tensor(0.5)  # a tensor that is not a buffer
        self.recent, self.weights = [self.first, self.second], (self.tied.weight, self.scale)
        self.sizes = {"in": (3, 32), 5: [1, 2], ("a", 1): {"deep": None}}
        self.ordered, self.names = OrderedDict(b=1, a=2), {"x", "y"}
        self.limits = (math.inf, -math.inf, 1e-300, True)
        self.size, self.dtype, self.layout = torch.Size([1, 2]), torch.float32, Layout.LAST
        self.root = np.sqrt(np.float64(2))
        self.device = torch.device("cpu")

    def forward(self, x):
        x = self.second(self.again(self.first(self.stem(x)))) * self.scale
        x = self.pool(x, 1).flatten(1)[:, self.index] + self.kept * self.frozen
        return self.other(self.tied(x)) * float(self.root)


class Plain(nn.Module):
    """Two layers and the attributes that a test gives it."""

    def __init__(self, **attributes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.body(x)


class Slotted(nn.Module):
    __slots__ = ("width",)


class Nest(nn.Module):
    class Inner(nn.Linear):
        """A class inside a class, which has an import path."""

    def __init__(self):
        super().__init__()
        self.inner = Nest.Inner(4, 2)

    def forward(self, x):
        return self.inner(x)


class Counted(nn.Module):
    """Counts how many were made."""

    made = 0

    def __new__(cls, width):
        cls.made += 1
        return super().__new__(cls)

    def __init__(self, width):
        super().__init__()
        self.width = width
