"""Parts with weights that random networks are made of.

``absolute`` does to signals, beside the real values, what the absolute network does; ``hear(layer, signal)`` is called
with what a layer wrote. A part without ``absolute`` is for surgery only.
"""

import torch
import torch.nn.functional as F
from torch import nn

from tests.nisp.random_moves import Misfit, needs


def absolute_layer(layer, signal):
    """|W| x, without the bias."""
    weight = layer.weight.abs()
    if isinstance(layer, nn.Linear):
        return F.linear(signal, weight)
    if isinstance(layer, nn.ConvTranspose2d):
        return F.conv_transpose2d(
            signal, weight, None, layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        )
    return F.conv2d(signal, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def absolute_norm(norm, signal):
    """|gamma| / sigma."""
    return signal * (norm.weight.abs() / (norm.running_var + norm.eps).sqrt())[:, None, None]


def batch_norm(channels):
    norm = nn.BatchNorm2d(channels)
    norm.running_mean.normal_(0, 0.3)
    norm.running_var.uniform_(0.5, 2)
    nn.init.uniform_(norm.weight, -1.5, 1.5)
    nn.init.normal_(norm.bias, 0, 0.3)
    return norm


class Layered(nn.Module):
    """A convolution that keeps, halves or doubles the size, perhaps with a batch norm behind."""

    def forward(self, x):
        x = self.layer(x)
        return x if self.norm is None else self.norm(x)

    def absolute(self, values, signals, hear):
        signal = absolute_layer(self.layer, signals[0])
        if self.norm is not None:
            signal = absolute_norm(self.norm, signal)
        hear(self.layer, signal)
        return signal if self.norm is None else signal * 1


class Convolution(Layered):
    def __init__(self, shapes, draw):
        super().__init__()
        c = shapes[0][1]
        out = (4, 6, 8, 3, 2)[draw(5)]
        groups = (1, 1, 2, c)[draw(4)]
        out = -(-out // groups) * groups if groups != c else c * (1, 2)[draw(2)]
        kernel, dilation = (1, 3, 2)[draw(3)], (1, 2)[draw(2)]
        stride, padding = (1, 2)[draw(2)], (kernel - 1) * dilation // 2
        needs(c % groups == 0 and out <= 12 and (kernel - 1) * dilation < min(shapes[0][2:]) + 2 * padding)
        bias = bool(draw(2))
        self.layer = nn.Conv2d(c, out, kernel, stride, padding, dilation, groups, bias)
        self.norm = batch_norm(out) if draw(2) else None


class Transposed(Layered):
    def __init__(self, shapes, draw):
        super().__init__()
        _, c, h, _ = shapes[0]
        needs(h <= 4)
        groups = (1, 2)[draw(2)]
        out, kernel = (4, 2, 6)[draw(3)], (2, 3)[draw(2)]
        needs(c % groups == 0)
        self.layer = nn.ConvTranspose2d(c, out, kernel, 2, kernel - 2, kernel - 2, groups=groups)
        self.norm = batch_norm(out) if draw(2) else None


class Residual(nn.Module):
    """x + conv(x), or, where the width changes, a projection of x + conv(x)."""

    def __init__(self, shapes, draw):
        super().__init__()
        c = shapes[0][1]
        wide, out = (4, 6)[draw(2)], (c, 4, 6)[draw(3)]
        self.expand, self.norm = nn.Conv2d(c, wide, 3, padding=1), batch_norm(wide)
        self.project = nn.Conv2d(wide, out, 1)
        self.skip = nn.Conv2d(c, out, 1, bias=False) if out != c else None

    def forward(self, x):
        return (x if self.skip is None else self.skip(x)) + self.project(self.norm(self.expand(x)).relu())

    def absolute(self, values, signals, hear):
        [x] = signals
        inner = absolute_norm(self.norm, absolute_layer(self.expand, x))
        branch = absolute_layer(self.project, inner)
        hear(self.expand, inner)
        hear(self.project, branch)
        if self.skip is None:
            return x + branch
        short = absolute_layer(self.skip, x)
        hear(self.skip, short)
        return short + branch


class Norm(nn.Module):
    """A batch norm by itself; of an activation, or of a sum."""

    def __init__(self, shapes, draw):
        super().__init__()
        self.norm = batch_norm(shapes[0][1])

    def forward(self, x):
        return self.norm(x)

    def absolute(self, values, signals, hear):
        return hear.behind(signals[0], absolute_norm(self.norm, signals[0]))


class Scale(nn.Module):
    """One factor per channel, and a bias."""

    def __init__(self, shapes, draw):
        super().__init__()
        shape = (shapes[0][1], 1, 1)
        self.gamma, self.beta = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.randn(shape))

    def forward(self, x):
        return x * self.gamma + self.beta

    def absolute(self, values, signals, hear):
        return signals[0] * self.gamma.abs()


class Slopes(nn.Module):
    """PReLU, with a slope per channel or with one."""

    def __init__(self, shapes, draw):
        super().__init__()
        self.prelu = nn.PReLU((1, shapes[0][1])[draw(2)])

    def forward(self, x):
        return self.prelu(x)

    def absolute(self, values, signals, hear):
        return signals[0] * self.prelu.weight.abs().clamp_min(1).reshape(-1, 1, 1)


class Flat(nn.Module):
    """A linear layer behind a flatten; its outputs are an image of one pixel, or of four."""

    def __init__(self, shapes, draw):
        super().__init__()
        self.flatten = (self.by_module, self.by_view, self.by_sizes)[draw(3)]
        self.side = (1, 2)[draw(2)]
        inputs = shapes[0][1:].numel()
        self.layer = nn.Linear(inputs, 4 * self.side**2)

    @staticmethod
    def by_module(x):
        return x.flatten(1)

    @staticmethod
    def by_view(x):
        return x.reshape(len(x), -1)

    @staticmethod
    def by_sizes(x):
        n, c, h, w = x.shape
        return x.reshape(n, c * h * w)

    def forward(self, x):
        return self.layer(self.flatten(x)).view(len(x), -1, self.side, self.side)

    def absolute(self, values, signals, hear):
        flat = absolute_layer(self.layer, self.flatten(signals[0]))
        hear(self.layer, flat)
        return flat.view(len(flat), -1, self.side, self.side)


class Pointwise(nn.Module):
    """A linear layer over the channels of every position."""

    def __init__(self, shapes, draw):
        super().__init__()
        self.layer = nn.Linear(shapes[0][1], (4, 6, 3)[draw(3)], bias=bool(draw(2)))

    def forward(self, x):
        return self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def absolute(self, values, signals, hear):
        made = absolute_layer(self.layer, signals[0].permute(0, 2, 3, 1))
        hear(self.layer, made)
        return made.permute(0, 3, 1, 2)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, shapes, draw):
        super().__init__()
        c = shapes[0][1]
        self.squeeze, self.excite = nn.Conv2d(c, 2, 1), nn.Conv2d(2, c, 1)

    def gate(self, x):
        return self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()

    def forward(self, x):
        return x * self.gate(x)

    def absolute(self, values, signals, hear):
        [x], [signal] = values, signals
        squeezed = absolute_layer(self.squeeze, signal.mean((2, 3), keepdim=True))
        excited = absolute_layer(self.excite, squeezed)
        hear(self.squeeze, squeezed)
        hear(self.excite, excited)
        return signal * self.gate(x) + x.abs() * excited / 4


class LayerNorm(nn.Module):
    """Over the channels of every position."""

    def __init__(self, shapes, draw):
        super().__init__()
        self.norm = nn.LayerNorm(shapes[0][1])
        nn.init.normal_(self.norm.weight)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GroupNorm(nn.Module):
    def __init__(self, shapes, draw):
        super().__init__()
        c = shapes[0][1]
        groups = (1, 2, c)[draw(3)]
        needs(c % groups == 0)
        self.norm = nn.GroupNorm(groups, c)
        nn.init.normal_(self.norm.weight)

    def forward(self, x):
        return self.norm(x)


class SelfAttention(nn.Module):
    """Queries, keys and values from one layer, in heads of the size or of the number that the constructor took."""

    def __init__(self, shapes, draw):
        super().__init__()
        c = shapes[0][1]
        self.qkv, self.out = nn.Linear(c, 3 * 4), nn.Linear(4, c)
        self.heads = (-1, 2)[draw(2)]

    def forward(self, x):
        n, c, h, w = x.shape
        tokens = self.qkv(x.flatten(2).transpose(1, 2))
        size = -1 if self.heads > 0 else 2
        q, k, v = tokens.view(n, h * w, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        mixed = ((q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5).softmax(-1) @ v
        return x + self.out(mixed.transpose(1, 2).reshape(n, h * w, -1)).transpose(1, 2).reshape(n, c, h, w)


class Computed(nn.Module):
    """A convolution whose weight is computed in the forward."""

    def __init__(self, shapes, draw):
        super().__init__()
        self.layer = nn.Conv2d(shapes[0][1], 4, 1)
        self.way = draw(3)

    def forward(self, x):
        weight = self.layer.weight
        if self.way == 0:
            weight = weight - weight.mean((1, 2, 3), keepdim=True)
        elif self.way == 1:
            weight = F.normalize(weight, dim=1)
        return F.conv2d(x, weight, self.layer.bias)


class Tied(nn.Module):
    """Encodes with a weight and decodes with its transpose."""

    def __init__(self, shapes, draw):
        super().__init__()
        self.layer = nn.Linear(shapes[0][1], 6, bias=False)

    def forward(self, x):
        hidden = self.layer(x.movedim(1, -1)).relu()
        return F.linear(hidden, self.layer.weight.t()).movedim(-1, 1)


class Embedded(nn.Module):
    """A vector, such as a time embedding, added to every position."""

    def __init__(self, shapes, draw):
        super().__init__()
        self.hidden, self.project = nn.Linear(shapes[1][1], 4), nn.Linear(4, shapes[0][1])

    def forward(self, x, vector):
        return x + self.project(F.silu(self.hidden(vector.mean((2, 3)))))[:, :, None, None]

    def absolute(self, values, signals, hear):
        hidden = absolute_layer(self.hidden, signals[1].mean((2, 3)))
        added = absolute_layer(self.project, 1.0999 * hidden)
        hear(self.hidden, hidden)
        hear(self.project, added)
        return signals[0] + added[:, :, None, None]


LAYERS = {
    "convolution": Convolution, "residual": Residual, "transposed": Transposed, "norm": Norm, "scale": Scale,
    "prelu": Slopes, "flat": Flat, "pointwise": Pointwise, "gate": Gate,
}  # fmt: skip
OTHER_LAYERS = {
    "layer norm layer": LayerNorm, "group norm layer": GroupNorm, "self-attention": SelfAttention,
    "computed weight": Computed, "tied weight": Tied,
}  # fmt: skip

__all__ = ["LAYERS", "OTHER_LAYERS", "Embedded", "Misfit", "absolute_layer"]
