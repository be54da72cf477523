"""Small networks that call their layers in every way that PyTorch allows."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """Two convolutions and a linear layer; subclasses return their result in other forms."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.f = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Linear(6, 3)

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3))

    def forward(self, x: Tensor):
        return self.f(self.features(x))


@dataclass
class Output:
    logits: Tensor
    extra: dict[str, object]


class Holder:
    """An object with attributes, no data class."""

    __slots__ = ("logits",)

    def __init__(self, logits):
        self.logits = logits


RETURNED = {
    "a tuple": lambda logits: (logits, None),
    "nested": lambda logits: {"out": [{"logits": logits}], "name": "x"},
    "a data class": lambda logits: Output(logits, {"size": 3}),
    "an object": Holder,
}


class Returning(Plain):
    """Returns its logits in ``form``."""

    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, x: Tensor):
        return self.form(super().forward(x))


def seeded(make, *arguments):
    """A network with the same random weights each time, in eval mode."""
    torch.manual_seed(0)
    net = make(*arguments).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
    return net


def state(net):
    """Everything that a network's modules hold, to be compared."""
    return {name: copy.copy(module.__dict__) for name, module in net.named_modules()}
