"""Rules of linear operations are exact: scores are |J|^T s, with J the real Jacobian in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.nisp.absolute_jacobian import assert_equals


def images(*shape):
    return torch.randn(*shape, dtype=torch.float64)


LAYERS = {
    "convolution in one dimension": (nn.Conv1d(2, 3, 3, 2, 1), (1, 2, 7)),
    "convolution in three dimensions": (nn.Conv3d(2, 3, 2, padding=1), (1, 2, 3, 4, 3)),
    "grouped": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (2, 4, 4, 5)),
    "depthwise": (nn.Conv2d(3, 3, 3, 2, 1, groups=3), (2, 3, 5, 6)),
    "depthwise, dilated, uneven": (nn.Conv2d(3, 3, (3, 2), (1, 2), (2, 1), (2, 1), groups=3), (1, 3, 6, 5)),
    "depthwise with a multiplier": (nn.Conv2d(3, 6, 3, padding=1, groups=3), (1, 3, 4, 4)),
    "depthwise in one dimension": (nn.Conv1d(3, 3, 3, padding=1, groups=3), (1, 3, 6)),
    "same padding": (nn.Conv2d(2, 3, (4, 3), padding="same"), (1, 2, 5, 5)),
    "transposed": (nn.ConvTranspose2d(3, 2, 3, 2, 1, output_padding=1), (1, 3, 3, 4)),
    "transposed, grouped, dilated": (nn.ConvTranspose2d(4, 6, 2, 2, 1, groups=2, dilation=2), (1, 4, 3, 3)),
    "transposed in one dimension": (nn.ConvTranspose1d(2, 3, 4, 3), (1, 2, 4)),
    "average pool, ceil mode": (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (1, 2, 6, 6)),
    "average pool, padding not counted": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (1, 2, 5, 5)),
    "adaptive average pool": (nn.AdaptiveAvgPool2d((2, 3)), (1, 2, 5, 7)),
    "channel shuffle": (nn.ChannelShuffle(2), (1, 6, 2, 2)),
    "pixel shuffle": (nn.PixelShuffle(2), (1, 4, 3, 3)),
    "pixel unshuffle": (nn.PixelUnshuffle(2), (1, 2, 4, 4)),
    "unfold": (nn.Unfold(2, stride=2), (1, 2, 4, 4)),
    "fold": (nn.Fold(4, 2), (1, 8, 9)),
    "nearest": (nn.Upsample(scale_factor=2), (1, 2, 3, 3)),
    "bilinear": (nn.Upsample(size=(5, 7), mode="bilinear"), (1, 2, 3, 4)),
    "bicubic by size": (nn.Upsample(size=(7, 5), mode="bicubic"), (1, 2, 4, 6)),
    "bicubic by factor": (nn.Upsample(scale_factor=2, mode="bicubic", align_corners=True), (1, 2, 4, 3)),
    "reflection padding": (nn.ReflectionPad2d(1), (1, 2, 3, 3)),
    "flatten": (nn.Flatten(), (2, 2, 2, 2)),
    "linear on tokens": (nn.Linear(4, 3), (2, 5, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    layer, shape = LAYERS[name]
    assert_equals(layer.double(), images(*shape))


def test_batch_norm():
    norm = nn.BatchNorm2d(3).double().eval()
    nn.init.normal_(norm.weight)
    norm.running_var.uniform_(0.5, 2)
    assert_equals(norm, images(2, 3, 4, 4))


WEIGHT = images(3, 4)
FUNCTIONS = {
    "subtraction": lambda x: x[:, :2] - x[:, 2:],
    "negative factors": lambda x: -2 * (x * -0.5) / -3,
    "constant on the left": lambda x: 1 - x,
    "alpha": lambda x: torch.sub(x[:, :2], x[:, 2:], alpha=3),
    "broadcast sum": lambda x: x + x.mean((2, 3), keepdim=True),
    "constant tensors": lambda x: x * -torch.ones(4, 1, 1).double() + torch.ones(4, 1, 1),
    "mean": lambda x: x.mean(-1),
    "sum with keepdim": lambda x: torch.sum(x, (1, 3), keepdim=True),
    "chunk, cat": lambda x: torch.cat([part * (i - 1) for i, part in enumerate(x.chunk(4, 1))], 1),
    "split, stack": lambda x: torch.stack(x.split([1, 3], 1)[1:]),
    "unbind": lambda x: x.unbind(1)[2],
    "iteration": lambda x: next(iter(x)),
    "roll, flip, pad": lambda x: F.pad(x.roll((1, -1), (2, 3)).flip(1), (0, 1, 2, 0)),
    "window partition": lambda x: x.view(2, 4, 2, 2, 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, 4),
    "expand, repeat": lambda x: x[:, :1].expand(-1, 3, -1, -1).repeat(1, 2, 1, 1),
    "indexing": lambda x: x[:, [0, 2, 2], ..., None, 1:],
    "masked fill": lambda x: x.masked_fill(torch.eye(4).bool(), 7.0),
    "where": lambda x: torch.where(torch.eye(4).bool(), x, 0.5),
    "matrix product with a constant": lambda x: WEIGHT @ x,
    "constant einsum": lambda x: torch.einsum("oc,nchw->nohw", WEIGHT, x),
    "transposes": lambda x: x.mT.transpose(1, 2).movedim(0, 1).swapaxes(0, 3),
    "addmm": lambda x: torch.addmm(x[1, 0, :3], WEIGHT, x[0, 0], beta=-2, alpha=3),
    "assignment": lambda x: assigned(x * 2),
    "in place": lambda x: (x[:, :2] * 3).add_(x[:, 2:], alpha=-2).mul_(-1).sub_(1),
    "augmented": lambda x: augmented(x * 1),
    "casts": lambda x: x.contiguous().to(torch.float64).clone().type_as(x),
    "view as": lambda x: x.view_as(x[:]).reshape_as(x.flatten()),
}


def assigned(x):
    x[:, 1:3] = x[:, :2] * -3
    x[0] = 0.5
    return x


def augmented(x):
    x += x[:, :1] * 2
    x *= -2
    x /= 4
    x -= 1
    return x


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    assert_equals(FUNCTIONS[name], images(2, 4, 4, 4))


def test_two_inputs():
    assert_equals(lambda x, y: x - 2 * y + (x - y).mean(1, keepdim=True), images(1, 2, 3), images(1, 2, 3))


class Standardised(nn.Conv2d):
    """Weight standardisation: the weight is computed as the network runs, and must not be made absolute on the way."""

    def forward(self, x):
        weight = F.batch_norm(self.weight.reshape(1, len(self.weight), -1), None, None, training=True)
        return F.conv2d(x, weight.reshape_as(self.weight) * self.weight.mean(), self.bias, padding=1)


def test_what_does_not_depend_on_the_input_runs_as_it_is():
    layer = Standardised(3, 4, 3).double()
    assert_equals(layer, images(1, 3, 4, 4))


def test_parametrised_weights():
    layer = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3)).double()
    assert_equals(layer, images(1, 2, 4, 4))
