"""Functions without weights that random networks are made of; x has the shape (n, c, h, w).

LINEAR   linear with coefficients >= 0: the absolute network does the same to scores
BOUNDED  name -> (function, what the absolute network does instead)
OTHERS   functions whose rules depend on measured responses; only surgery is tested with them
"""

import torch
import torch.nn.functional as F


class Misfit(ValueError):
    """The function does not accept values of this shape."""


def needs(condition):
    if not condition:
        raise Misfit


def halves(x):
    needs(x.size(1) % 2 == 0)
    return x.view(len(x), 2, x.size(1) // 2, *x.shape[2:])


def pairs(x):
    needs(x.size(1) % 2 == 0)
    n, c, h, w = x.shape
    return x.view(n, c // 2, 2, h, w)


def shuffled(x):
    return halves(x).transpose(1, 2).reshape(x.shape)


def shuffled_by_sizes(x):
    n, c, h, w = x.shape
    return pairs(x).permute(0, 2, 1, 3, 4).contiguous().view(n, c, h, w)


def swapped(x):
    needs(x.size(1) % 2 == 0)
    first, second = x.chunk(2, dim=1)
    return torch.cat((second, first), 1)


def split_evenly(x):
    needs(x.size(1) % 2 == 0)
    return torch.split(x, x.size(1) // 2, 1)


def split_unevenly(x):
    needs(x.size(1) > 2)
    return x.split([1, x.size(1) - 1], 1)


def pixels_shuffled(x):
    needs(x.size(1) % 4 == 0 and x.size(2) <= 4)
    return F.pixel_shuffle(x, 2)


def pixels_unshuffled(x):
    needs(x.size(2) % 2 == 0 and x.size(3) % 2 == 0 and x.size(1) <= 4)
    return F.pixel_unshuffle(x, 2)


def through_tokens(x):
    n, c, h, w = x.shape
    return x.flatten(2).transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2)


def with_parts(x):
    needs(x.size(1) % 2 == 0)
    first, second = x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]
    return torch.cat([first, second, first + second], dim=1)


def padded(x):
    needs(x.size(1) <= 6)
    return F.pad(x, (0, 0, 0, 0, 1, 1))


def assigned(x):
    needs(x.size(1) > 1)
    y = torch.zeros_like(x)
    y[:, 1:] = x[:, :-1]
    return y + x


def upsampled(x):
    needs(x.size(2) <= 4)
    return F.interpolate(x, scale_factor=2)


def small(x):
    needs(x.size(1) <= 6)
    return x


LINEAR = {
    "shuffle": shuffled,
    "shuffle by sizes": shuffled_by_sizes,
    "swap halves": swapped,
    "split": split_evenly,
    "split unevenly": split_unevenly,
    "every second": lambda x: x[:, ::2],
    "all but one": lambda x: (needs(x.size(1) > 1), x[:, 1:])[1],
    "narrow": lambda x: (needs(x.size(1) > 2), x.narrow(1, 1, 2))[1],
    "reverse": lambda x: x.flip(1),
    "roll": lambda x: x.roll(1, 1),
    "reorder": lambda x: x[:, torch.arange(x.size(1) - 1, -1, -1)],
    "sum of pairs": lambda x: pairs(x).sum(2),
    "mean of halves": lambda x: halves(x).mean(1),
    "unflatten": lambda x: halves(x).flatten(1, 2),
    "sum of unbound": lambda x: sum(halves(x).unbind(1)),
    "pixel shuffle": pixels_shuffled,
    "pixel unshuffle": pixels_unshuffled,
    "tokens": through_tokens,
    "parts": with_parts,
    "pad channels": padded,
    "assign": assigned,
    "upsample": upsampled,
    "repeat": lambda x: small(x).repeat(1, 2, 1, 1),
    "repeat each": lambda x: small(x).repeat_interleave(2, 1),
    "mean over channels": lambda x: x + x.mean(1, keepdim=True),
    "expand": lambda x: x.mean((2, 3), keepdim=True).expand_as(x),
    "average pool": lambda x: F.avg_pool2d(x, 2, 1, 1),
    "pool to one": lambda x: F.adaptive_avg_pool2d(x, 1),
    "stack": lambda x: torch.stack((x, x), 1).sum(1),
    "triple": lambda x: 3 * x,
    "over width": lambda x: x / x.shape[1],
    "by attention scale": lambda x: x * x.shape[1] ** -0.5,
}


def windows_of_two(x):
    """The sum over each window of a max pool of size 2, stride 2."""
    return F.avg_pool2d(x, 2, 2, divisor_override=1)


def windows_of_three(x):
    return F.avg_pool2d(x, 3, 1, 1, divisor_override=1)


def same(x):
    """A tensor of its own: what reads it does not directly follow what wrote ``x``."""
    return x * 1


BOUNDED = {
    "relu": (F.relu, same),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.3), same),
    "tanh": (torch.tanh, same),
    "clamp": (lambda x: x.clamp(-0.5, 1), same),
    "max pool": (lambda x: (needs(x.size(2) > 1), F.max_pool2d(x, 2))[1], windows_of_two),
    "max pool with padding": (lambda x: F.max_pool2d(x, 3, 1, 1), windows_of_three),
    "maxout": (lambda x: halves(x).max(1).values, lambda x: halves(x).sum(1)),
    "maxout of pairs": (lambda x: pairs(x).amax(2), lambda x: pairs(x).sum(2)),
    "silu": (F.silu, lambda x: 1.0999 * x),
    "negative": (lambda x: -x, same),
    "dropout": (lambda x: F.dropout(x, 0.5, training=False), same),
    "add a number": (lambda x: x + 1, same),
    "from one": (lambda x: 1 - x, same),
    "differences": (lambda x: pairs(x)[:, :, 0] - pairs(x)[:, :, 1], lambda x: pairs(x).sum(2)),
}


def gated(x):
    needs(x.size(1) % 2 == 0)
    signal, gate = x.chunk(2, 1)
    return signal * gate.sigmoid()


def attention(x):
    """Every position attends to all, in two heads whose size follows the width."""
    needs(x.size(1) % 2 == 0)
    n, c, h, w = x.shape
    tokens = x.view(n, 2, c // 2, h * w).transpose(2, 3)
    return F.scaled_dot_product_attention(tokens, tokens, tokens).transpose(2, 3).reshape(n, c, h, w)


def branched(x):
    return x.relu() if x.shape[1] > 3 else x * 2


OTHERS = {
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "mask": lambda x: x * (x > 0.2),
    "masked fill": lambda x: x.masked_fill(x < 0, 0.5),
    "against another channel": lambda x: torch.where(x > x.roll(1, 1), x, -x),
    "gate": gated,
    "glu": lambda x: (needs(x.size(1) % 2 == 0), F.glu(x, 1))[1],
    "spatial attention": lambda x: x * x.mean(1, keepdim=True).sigmoid(),
    "largest channel": lambda x: x - x.amax(1, keepdim=True),
    "softmax over channels": lambda x: x.softmax(1),
    "softmax over positions": lambda x: x.flatten(2).softmax(-1).view_as(x),
    "normalise": lambda x: F.normalize(x, dim=1),
    "layer norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "group norm": lambda x: (needs(x.size(1) % 2 == 0), F.group_norm(x, 2))[1],
    "group norm of single channels": lambda x: F.group_norm(x, x.size(1)),
    "instance norm": lambda x: F.instance_norm(x) if x.size(2) > 1 else x,
    "attention": attention,
    "branch": branched,
    "gram": lambda x: torch.einsum("nchw,ndhw->ncd", x, x).unsqueeze(-1),
    "square": lambda x: x.square() * 0.1,
    "exp": lambda x: torch.exp(-x.abs()),
    "share of the sum": lambda x: x / (1 + x.abs().sum(1, keepdim=True)),
    "numel": lambda x: x * (8 / x[0].numel()),
    "sort": lambda x: x.sort(1).values,
    "cumulative": lambda x: x.cumsum(1) * 0.1,
    "values decide": lambda x: x + 1 if x.sum() > 0 else x,
}
