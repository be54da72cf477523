"""Calls of every function that NISP lets run as it is: what they do to a unit vector is their rule."""

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.rules.names import spelled

PLACES = torch.tensor([2, 0, 2])
CORNERS = torch.eye(4).bool()


def _assigned(assign, x):
    copy = x * 1
    assign(copy, (slice(None), slice(1, 3)), x[:, :2])
    assign(copy, 0, 0.5)
    return copy


MOVES = {
    (torch.cat, torch.concat, torch.concatenate): lambda f, x: f([x, x[:, :1], torch.ones_like(x)], 1),
    (torch.stack,): lambda f, x: f([x[:, 0], x[:, 2]], 2),
    (torch.flatten, Tensor.flatten): lambda f, x: f(x, 1, 2),
    (Tensor.view, Tensor.reshape): lambda f, x: f(x, 4, -1),
    (torch.reshape, torch.permute): lambda f, x: f(x, (0, 3, 1, 2)) if f is torch.permute else f(x, (4, 2, -1)),
    (Tensor.permute,): lambda f, x: f(x, 0, 3, 1, 2),
    (Tensor.transpose, torch.transpose, torch.swapaxes, Tensor.swapaxes, Tensor.swapdims): lambda f, x: f(x, 1, 3),
    (torch.movedim, Tensor.movedim): lambda f, x: f(x, 1, -1),
    (Tensor.t, torch.t): lambda f, x: f(x[0, 0]),
    (Tensor.T.__get__,): lambda f, x: f(x[0, 0]),
    (Tensor.mT.__get__,): lambda f, x: f(x),
    (Tensor.__getitem__,): lambda f, x: f(x, (slice(None), PLACES, ..., None, slice(1, None))),
    (torch.squeeze, Tensor.squeeze): lambda f, x: f(x[:, :1], 1),
    (torch.unsqueeze, Tensor.unsqueeze): lambda f, x: f(x, 1),
    (torch.chunk, Tensor.chunk, torch.tensor_split, Tensor.tensor_split): lambda f, x: f(x, 2, 1)[1],
    (torch.functional.split, Tensor.split): lambda f, x: f(x, 3, 2)[0],
    (torch.split_with_sizes, Tensor.split_with_sizes): lambda f, x: f(x, [1, 3], 2)[1],
    (torch.unbind, Tensor.unbind): lambda f, x: f(x, 1)[2],
    (Tensor.unflatten, torch.unflatten): lambda f, x: f(x, 1, (2, 2)).transpose(1, 2),
    (Tensor.expand,): lambda f, x: f(x[:, :1], 2, 3, -1, -1),
    (torch.narrow, Tensor.narrow): lambda f, x: f(x, 1, 1, 2),
    (torch.select, Tensor.select): lambda f, x: f(x, 1, 2),
    (torch.index_select, Tensor.index_select): lambda f, x: f(x, 1, PLACES),
    (torch.gather, Tensor.gather): lambda f, x: f(x, 1, PLACES[None, :, None, None].expand(1, 3, 4, 2)),
    (torch.roll, Tensor.roll): lambda f, x: f(x, 1, 2),
    (torch.flip, Tensor.flip): lambda f, x: f(x, (1,)),
    (torch.rot90, Tensor.rot90): lambda f, x: f(x, 1, (2, 3)),
    (Tensor.repeat,): lambda f, x: f(x, 1, 2, 1, 1),
    (torch.tile, Tensor.tile): lambda f, x: f(x, (2, 1, 1)),
    (torch.repeat_interleave, Tensor.repeat_interleave): lambda f, x: f(x, 2, 1),
    (F.pad,): lambda f, x: f(x, (1, 2, 0, 1), mode="reflect"),
    (F.unfold,): lambda f, x: f(x, (2, 3), padding=1, stride=2),
    (F.fold,): lambda f, x: f(x.reshape(1, 4, 16), 5, 2),
    (Tensor.unfold,): lambda f, x: f(x, 2, 3, 1),
    (F.pixel_shuffle, F.pixel_unshuffle, F.channel_shuffle): lambda f, x: f(x, 2),
    (torch.masked_fill, Tensor.masked_fill): lambda f, x: f(x, CORNERS, 7.0),
    (torch.where,): lambda f, x: f(CORNERS, x, x[:, :1]),
    (torch.diagonal, Tensor.diagonal): lambda f, x: f(x, 1, 2, 3),
    (torch.tril, torch.triu): lambda f, x: f(x, -1),
    (torch.sum, Tensor.sum, torch.mean, Tensor.mean): lambda f, x: f(x, (1, 3), keepdim=True),
    (torch.sum, torch.mean): lambda f, x: f(x, 1, dtype=torch.float32),
    (F.avg_pool1d,): lambda f, x: f(x[0], 3, 2, 1, True, False),
    (F.avg_pool2d,): lambda f, x: f(x, 3, 2, 1, True, False),
    (F.avg_pool3d,): lambda f, x: f(x[None], (2, 3, 3), 2, (0, 1, 1), count_include_pad=False),
    (F.adaptive_avg_pool1d,): lambda f, x: f(x[0], 3),
    (F.adaptive_avg_pool2d,): lambda f, x: f(x, (3, 2)),
    (F.adaptive_avg_pool3d,): lambda f, x: f(x[None], (3, 2, 1)),
    (Tensor.contiguous, Tensor.clone, torch.clone, Tensor.double, Tensor.cpu): lambda f, x: f(x),
    (Tensor.float, Tensor.half, Tensor.bfloat16): lambda f, x: f(x),
    (Tensor.to, Tensor.type): lambda f, x: f(x, torch.float64),
    (Tensor.type_as,): lambda f, x: f(x, x * 2),
    (Tensor.view_as,): lambda f, x: f(x, torch.ones(1, 16, 4)),
    (Tensor.reshape_as,): lambda f, x: f(x, x.flatten(1)),
    (Tensor.expand_as,): lambda f, x: f(x[:, :1], x),
    (F.interpolate,): lambda f, x: f(x, size=(3, 7), mode="bilinear", align_corners=True),
    (Tensor.__setitem__,): _assigned,
    (torch.add, Tensor.add, torch.sub, Tensor.sub): lambda f, x: f(x[:, :1], x[:, 1:], alpha=-3),
    (Tensor.add_, Tensor.sub_): lambda f, x: f(x[:, 1:] * 2, x[:, :1], alpha=-3),
    (Tensor.__add__, Tensor.__sub__): lambda f, x: f(x[:, :1] * 3, x[:, 1:]),
    (Tensor.__iadd__, Tensor.__isub__): lambda f, x: f(x[:, 1:] * 2, x[:, :1] * 3),
    (Tensor.__radd__, Tensor.__rsub__): lambda f, x: f(x, 2.0),
    (torch.mul, Tensor.mul, torch.multiply, Tensor.__mul__, Tensor.__rmul__): lambda f, x: f(x, -2.5),
    (Tensor.mul_, Tensor.__imul__): lambda f, x: f(x * 1, torch.tensor([-3.0, 2.0, 0.0, 1.0], dtype=x.dtype)),
    (Tensor.mul, torch.mul): lambda f, x: f(x, torch.tensor([-3, 2, 0, 1])),
    (Tensor.__mul__, Tensor.__rmul__): lambda f, x: f(x, CORNERS),
    (torch.div, Tensor.div, Tensor.__truediv__): lambda f, x: f(x, -4),
    (Tensor.div_, Tensor.__itruediv__): lambda f, x: f(x * 1, torch.tensor([-4.0, 2.0, 5.0, 1.0], dtype=x.dtype)),
}  # fmt: skip
"""Functions -> a call of them, affine in x of shape (1, 4, 4, 4)."""

WINDOWS = {
    (F.max_pool1d, torch.max_pool1d): lambda f, x: f(x[0], 2, 3, 1, 1, True),
    (F.max_pool2d, torch.max_pool2d): lambda f, x: f(x, (3, 2), (2, 1), (1, 0), (1, 2)),
    (F.max_pool3d, torch.max_pool3d): lambda f, x: f(x[None], (2, 1, 3), padding=(1, 0, 1), ceil_mode=True),
    (F.adaptive_max_pool1d,): lambda f, x: f(x[0], 3),
    (torch.adaptive_max_pool1d,): lambda f, x: f(x[0], 3)[0],
    (F.adaptive_max_pool2d,): lambda f, x: f(x, (3, 2)),
    (torch.max_pool1d,): lambda f, x: f(x[0], 2),
    (torch.max_pool2d,): lambda f, x: f(x, 2),
    (torch.max_pool3d,): lambda f, x: f(x[None], 2),
    spelled("amax", "amin"): lambda f, x: f(x, (1, 3), keepdim=True),
    (torch.amax,): lambda f, x: f(x),
    (Tensor.amax,): lambda f, x: f(x[0], 0),
    spelled("max", "min"): lambda f, x: f(x, 2).values,
    (Tensor.max, torch.min): lambda f, x: f(x),
    spelled("maximum", "minimum", "fmax", "fmin"): lambda f, x: f(x[:, :2], x[:, 2:]),
    (torch.max, torch.min, Tensor.max): lambda f, x: f(x[:, :2], x[:, 2:3]),
    (Tensor.min, torch.max): lambda f, x: f(torch.zeros(2, 1, 4, 4).double(), other=x),
    spelled("cummax", "cummin"): lambda f, x: f(x, 2)[0],
    (torch.clamp, Tensor.clamp, torch.clip): lambda f, x: f(x[:, :2] * 1, x[:, 2:3], torch.full_like(x[:, :1], 9.0)),
    (torch.clamp_max, Tensor.clamp_min, Tensor.clamp_): lambda f, x: f(x[:, :2] * 1, x[:, 2:]),
    spelled("max_pool1d_with_indices", "adaptive_max_pool1d_with_indices"): lambda f, x: f(x[0], 2)[0],
    spelled("max_pool2d_with_indices", "adaptive_max_pool2d_with_indices"): lambda f, x: f(x, 2)[0],
    spelled("max_pool3d_with_indices", "adaptive_max_pool3d_with_indices"): lambda f, x: f(x[None], 2)[0],
    (F.adaptive_max_pool3d,): lambda f, x: f(x[None], (2, 3, 2)),
    (F.max_pool2d, F.adaptive_max_pool2d): lambda f, x: f(x[0], 2),
    (torch.max_pool1d, F.max_pool1d): lambda f, x: f(x[0, 0], 2),
}  # fmt: skip
"""Functions that take the largest -> a call of them. A unit vector is seen in the windows that it is in."""


def weights(*shape):
    """Of both signs, no two alike."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


LAYERS = [
    (F.linear, lambda f, x: f(x, weights(3, 4), weights(3)), (2, 2, 4)),
    (F.linear, lambda f, x: f(x, weights(3, 4)), (4,)),
    (F.conv1d, lambda f, x: f(x, weights(4, 3, 2), weights(4), 2, 1, 3), (2, 3, 7)),
    (F.conv1d, lambda f, x: f(x, weights(6, 1, 2), groups=3), (2, 3, 4)),
    (F.conv2d, lambda f, x: f(x, weights(4, 2, 3, 2), None, (2, 1), (1, 2), (1, 2), 2), (1, 4, 5, 4)),
    (F.conv2d, lambda f, x: f(x, weights(3, 1, 3, 2), None, (1, 2), (2, 1), (2, 1), 3), (2, 3, 5, 4)),
    (F.conv2d, lambda f, x: f(x, weights(2, 3, 2, 2), padding="valid"), (1, 3, 3, 3)),
    (F.conv3d, lambda f, x: f(x, weights(2, 2, 2, 1, 2), stride=(1, 2, 1), padding=1), (1, 2, 3, 3, 2)),
    (F.conv3d, lambda f, x: f(x, weights(4, 1, 2, 1, 2), padding=1, groups=2), (1, 2, 2, 3, 2)),
    (F.conv_transpose1d, lambda f, x: f(x, weights(3, 2, 3), None, 2, 1, 1), (2, 3, 4)),
    (F.conv_transpose2d, lambda f, x: f(x, weights(4, 3, 2, 3), None, (2, 1), (1, 0), 0, 2, (1, 2)), (1, 4, 3, 3)),
    (torch.convolution,
     lambda f, x: f(x, weights(4, 2, 3), None, [2], [1], [2], False, [0], 2), (2, 4, 7)),
    (torch.convolution,
     lambda f, x: f(x, weights(4, 3, 2, 3), None, [2, 1], [1, 0], [1, 2], True, [0, 0], 2), (1, 4, 3, 3)),
    (F.conv_transpose1d, lambda f, x: f(x, weights(3, 2, 3), None, 1, 1, 1, 1, 2), (2, 3, 4)),
    (F.linear, lambda f, x: f(x, weights(4)), (2, 4)),
    (F.conv_transpose3d, lambda f, x: f(x, weights(2, 2, 2, 1, 2), None, 2, output_padding=1), (1, 2, 2, 2, 2)),
    (F.interpolate, lambda f, x: f(x, (7, 3), mode="bicubic"), (1, 2, 4, 5)),
    (F.interpolate, lambda f, x: f(x, (2, 3), mode="bicubic", antialias=True), (1, 1, 4, 6)),
    (F.interpolate, lambda f, x: f(x, (2, 3), mode="bilinear", antialias=True), (1, 1, 4, 6)),
    (F.bilinear, lambda f, x: f(x, weights(2, 4).abs(), weights(5, 3, 4).abs(), weights(5)), (2, 3)),
    (F.interpolate, lambda f, x: f(x, 6, mode="bicubic", align_corners=True), (1, 1, 4, 5)),
    (F.interpolate, lambda f, x: f(x, scale_factor=(2.0, 0.5), mode="bicubic"), (1, 1, 4, 6)),
    (F.interpolate, lambda f, x: f(x, scale_factor=2, mode="bicubic"), (1, 1, 4, 3)),
]  # fmt: skip
"""Functions with a call that multiplies by fixed numbers, and the shape of the input."""
