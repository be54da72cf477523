"""Calls of functions whose bound depends on the responses, with the bound written out as docs/operations.md has it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nisp.rules.names import spelled
from tests.nisp.absolute_jacobian import jacobians


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Case:
    """A call of ``function``, and the matrices, (outputs, elements), that its inputs should have."""

    function: Any
    call: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    matrices: Callable[..., list[Tensor]]


def eye(size):
    return torch.eye(size, dtype=torch.float64)


def blocks(x, parts, factor):
    """One matrix per row of ``parts``, which has x's elements; its rows times |factor| of their place in x."""
    places = parts(torch.arange(x.numel()).reshape(x.shape))
    matrix = torch.zeros(x.numel(), x.numel(), dtype=torch.float64)
    for row in places:
        matrix[row[:, None], row] = factor(x.flatten()[row])
    return matrix


def standardised(eps):
    """|d y_i / d x_j| bounded term by term for y = (x - mean) / sigma."""

    def matrix(v):
        n = len(v)
        sigma = ((v - v.sum() / n).pow(2).sum() / n + eps) ** 0.5
        z = (v - v.sum() / n) / sigma
        return ((eye(n) - 1 / n).abs() + torch.outer(z, z).abs() / n) / sigma

    return matrix


def scaled(eps):
    """The same for y = x / rms."""

    def matrix(v):
        rms = (v.pow(2).sum() / len(v) + eps) ** 0.5
        z = v / rms
        return (eye(len(v)) + torch.outer(z, z).abs() / len(v)) / rms

    return matrix


def normalised(v):
    length = v.pow(2).sum() ** 0.5
    y = v / length
    return (eye(len(v)) + torch.outer(y, y).abs()) / length


def normalised_by(p):
    """The same by a norm of another power."""

    def matrix(v):
        length = v.abs().pow(p).sum() ** (1 / p)
        return (eye(len(v)) + torch.outer(v.abs() / length, (v.abs() / length) ** (p - 1))) / length

    return matrix


def rows(weight, x, axis):
    """|weight| along ``axis`` of x, as a factor of each row of a matrix."""
    shape = [1] * x.dim()
    shape[axis] = -1
    return weight.abs().reshape(shape).expand(x.shape).flatten()[:, None]


X, SMALL, Y = numbers(2, 4, 3), numbers(2, 4, 3) * 1e-3, numbers(2, 4, 3, seed=1)
TINY = numbers(2, 3) * 1e-8
WEIGHT, BIAS = torch.tensor([1.5, -0.5, 2.0, -3.0]).double(), torch.ones(4).double()
OVER = torch.tensor([[0.5, -2.0, 1.0]] * 4).double() * WEIGHT[:, None]
VAR = torch.tensor([0.3, 1.0, 2.0, 1e-6]).double()
MEAN = torch.ones(4).double()


def last(p):
    return p.flatten(0, -2)


def last_two(p):
    return p.flatten(1)


def groups(p):
    return p.reshape(4, -1)


def channels(p):
    return p.reshape(8, -1)


def over_the_batch(p):
    return p.movedim(1, 0).flatten(1)


def along(p):
    return p.movedim(1, -1).flatten(0, -2)


def gain(x, eps=1e-5, weight=None):
    factors = (VAR + eps) ** -0.5 * (1 if weight is None else weight.abs())
    return [torch.diag(rows(factors, x, 1)[:, 0])]


NORMS = [
    Case(F.layer_norm, lambda f, x: f(x, (3,)), (SMALL,), lambda x: [blocks(x, last, standardised(1e-5))]),
    Case(F.layer_norm, lambda f, x: f(x, (3,), WEIGHT[:3], BIAS[:3], 0.2), (X,),
         lambda x: [rows(WEIGHT[:3], x, -1) * blocks(x, last, standardised(0.2))]),
    Case(F.layer_norm, lambda f, x: f(x, (4, 3), OVER, None, eps=0.2), (X,),
         lambda x: [OVER.abs().repeat(2, 1).reshape(-1, 1) * blocks(x, last_two, standardised(0.2))]),
    Case(F.rms_norm, lambda f, x: f(x, (3,)), (TINY,), lambda x: [blocks(x, last, scaled(2.0**-52))]),
    Case(F.rms_norm, lambda f, x: f(x, (3,), WEIGHT[:3], 0.2), (X,),
         lambda x: [rows(WEIGHT[:3], x, -1) * blocks(x, last, scaled(0.2))]),
    Case(F.rms_norm, lambda f, x: f(x, (4, 3), OVER, 0.2), (X,),
         lambda x: [OVER.abs().repeat(2, 1).reshape(-1, 1) * blocks(x, last_two, scaled(0.2))]),
    Case(F.group_norm, lambda f, x: f(x, 2), (SMALL,), lambda x: [blocks(x, groups, standardised(1e-5))]),
    Case(F.group_norm, lambda f, x: f(x, 2, WEIGHT, BIAS, 0.2), (X,),
         lambda x: [rows(WEIGHT, x, 1) * blocks(x, groups, standardised(0.2))]),
    Case(F.instance_norm, lambda f, x: f(x), (SMALL,), lambda x: [blocks(x, channels, standardised(1e-5))]),
    Case(F.instance_norm, lambda f, x: f(x, weight=WEIGHT, bias=BIAS, eps=0.2), (X,),
         lambda x: [rows(WEIGHT, x, 1) * blocks(x, channels, standardised(0.2))]),
    Case(F.instance_norm, lambda f, x: f(x, MEAN, VAR, WEIGHT, BIAS, False, 0.1, 0.2), (X,),
         lambda x: gain(x, 0.2, WEIGHT)),
    Case(F.batch_norm, lambda f, x: f(x, MEAN, VAR), (X,), gain),
    Case(F.batch_norm, lambda f, x: f(x, MEAN, VAR, WEIGHT, BIAS, False, 0.1, 0.2), (X,),
         lambda x: gain(x, 0.2, WEIGHT)),
    Case(torch.batch_norm, lambda f, x: f(x, WEIGHT, BIAS, MEAN, VAR, False, 0.1, 0.2, False), (X,),
         lambda x: gain(x, 0.2, WEIGHT)),
    Case(torch.batch_norm, lambda f, x: f(x, None, None, MEAN, VAR, False, 0.1, 0.2, False), (X,),
         lambda x: gain(x, 0.2)),
    Case(F.normalize, lambda f, x: f(x), (X,), lambda x: [blocks(x, along, normalised)]),
    Case(F.normalize, lambda f, x: f(x, dim=-1), (X,), lambda x: [blocks(x, last, normalised)]),
    Case(torch.layer_norm, lambda f, x: f(x, (3,), WEIGHT[:3], BIAS[:3], 0.2, False), (X,),
         lambda x: [rows(WEIGHT[:3], x, -1) * blocks(x, last, standardised(0.2))]),
    Case(torch.rms_norm, lambda f, x: f(x, (3,), WEIGHT[:3], 0.2), (X,),
         lambda x: [rows(WEIGHT[:3], x, -1) * blocks(x, last, scaled(0.2))]),
    Case(torch.group_norm, lambda f, x: f(x, 2, WEIGHT, BIAS, 0.2, False), (X,),
         lambda x: [rows(WEIGHT, x, 1) * blocks(x, groups, standardised(0.2))]),
    Case(torch.instance_norm, lambda f, x: f(x, WEIGHT, BIAS, None, None, True, 0.1, 0.2, False), (X,),
         lambda x: [rows(WEIGHT, x, 1) * blocks(x, channels, standardised(0.2))]),
    Case(F.batch_norm, lambda f, x: f(x, None, None, WEIGHT, BIAS, True, 0.1, 0.2), (X,),
         lambda x: [rows(WEIGHT, x, 1) * blocks(x, over_the_batch, standardised(0.2))]),
    Case(torch.batch_norm, lambda f, x: f(x, None, None, None, None, True, 0.1, 0.2, False), (X,),
         lambda x: [blocks(x, over_the_batch, standardised(0.2))]),
    Case(F.normalize, lambda f, x: f(x, p=1.0), (X,), lambda x: [blocks(x, along, normalised_by(1))]),
    Case(F.normalize, lambda f, x: f(x, 3.0, -1), (X,), lambda x: [blocks(x, last, normalised_by(3))]),
    Case(F.normalize, lambda f, x: f(x, eps=100.0), (X,),  # the length is 100 then
         lambda x: [blocks(x, along, lambda v: (eye(4) + torch.outer(v, v).abs() / 100**2) / 100)]),
    Case(F.local_response_norm, lambda f, x: f(x, 3), (X,), lambda x: [eye(24)]),
    Case(F.prelu, lambda f, x: f(x, WEIGHT), (X,), lambda x: [torch.diag(rows(WEIGHT, x, 1)[:, 0].clamp_min(1))]),
]  # fmt: skip


def at_magnitudes(call):
    """The Jacobians of a product of positive numbers, at the responses' magnitudes: |y| for x and |x| for y."""
    return lambda *inputs: jacobians(call, [x.abs() for x in inputs])


def products(functions, call, *inputs):
    return [Case(f, call, inputs, at_magnitudes(lambda *x, f=f: call(f, *x))) for f in functions]


def quotient(x, y):
    """1 / |y| and |x| / y^2, for y of one channel."""
    first = torch.diag((1 / y.abs()).expand(x.shape).flatten())
    second = torch.zeros(*x.shape, *y.shape).double()
    for n in range(2):
        for c in range(4):
            for i in range(3):
                second[n, c, i, n, 0, i] = x[n, c, i].abs() / y[n, 0, i] ** 2
    return [first, second.reshape(24, 6)]


A, B = numbers(2, 3, 4), numbers(2, 4, 3, seed=1)
IMAGE, PLACES = numbers(1, 2, 4, 4), numbers(1, 3, 3, 2, seed=2) * 0.6


def sampled(x, grid):
    """Linear in the image; each place by its own derivative of every channel."""
    return [jacobians(F.grid_sample, [x, grid])[0], jacobians(F.grid_sample, [x, grid])[1].abs()]


PRODUCTS = [
    *products((torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm), lambda f, x, y: f(x, y), A, B),
    *products((Tensor.__rmatmul__,), lambda f, x, y: f(y, x), A, B),
    *products((torch.mm, Tensor.mm), lambda f, x, y: f(x, y), A[0], B[0]),
    *products((torch.functional.einsum,), lambda f, x, y: f("nij,njk->nk", x, y), A, B),
    *products((torch.mul, Tensor.mul, Tensor.__mul__, torch.multiply), lambda f, x, y: f(x, y), X, Y[:, :1]),
    *products((Tensor.__rmul__, Tensor.__imul__, Tensor.mul_), lambda f, x, y: f(x.clone(), y), X, Y[:, :1]),
    *products(spelled("matmul"), lambda f, x, y: f(x, y), A, B),
    *products(spelled("mv"), lambda f, x, y: f(x, y), A[0], B[0, :, 0]),
    *products(spelled("dot", "vdot", "vecdot", "inner", "outer", "ger"), lambda f, x, y: f(x, y), A[0, 0], B[0, :, 0]),
    *products(spelled("kron"), lambda f, x, y: f(x, y), A[0, :2, :2], B[0, :2, :1]),
    *products(spelled("tensordot"), lambda f, x, y: f(x, y, 1), A, B[0]),
    *products(spelled("chain_matmul"), lambda f, x, y: f(x, y), A[0], B[0]),
    *products(spelled("multi_dot"), lambda f, x, y: f([x, y]), A[0], B[0]),
    *products(spelled("prod", "cumprod"), lambda f, x: f(x, 1), A),
    *products(spelled("cumprod_"), lambda f, x: f(x * 1, 1), A),
    *products((F.bilinear,), lambda f, x, y, w: f(x, y, w, BIAS), A[0], B[:, 0][:1].expand(3, 3) * 1, numbers(4, 4, 3)),
    *products((F.linear,), lambda f, x, b: f(x, numbers(3, 4).abs(), b), A, numbers(3)),
    *products((F.linear,), lambda f, b: f(A, numbers(3, 4), b), numbers(3)),
    *products((F.linear,), lambda f, x, w, b: f(x, w, b), A, numbers(3, 4), numbers(3)),
    *products((F.conv1d,), lambda f, x, w, b: f(x, w, b), X, numbers(2, 4, 2), numbers(2)),
    *products((F.conv1d,), lambda f, x, b: f(x, numbers(2, 4, 2).abs(), b), X, numbers(2)),
    *products((F.conv_transpose1d,), lambda f, x, w, b: f(x, w, b, 2), X, numbers(4, 2, 2), numbers(2)),
    *products((F.conv_transpose1d,), lambda f, w: f(X.abs(), w, None, 2), numbers(4, 2, 2)),
    *(Case(f, lambda f, x, g: f(x, g), (IMAGE, PLACES), sampled) for f in spelled("grid_sample")),
    *(Case(f, lambda f, g: f(IMAGE, g), (PLACES,), lambda g: sampled(IMAGE, g)[1:]) for f in spelled("grid_sample")),
    *products((F.linear,), lambda f, x, w: f(x, w, BIAS), A, numbers(4, 4)),
    *products((F.linear,), lambda f, w: f(A.abs(), w), numbers(4, 4)),
    *products((F.conv1d,), lambda f, x, w: f(x, w, None, 2, 1, 1, 2), X, numbers(2, 2, 2)),
    *products((F.conv1d,), lambda f, w: f(X.abs(), w, None, 2, 1, 1, 2), numbers(2, 2, 2)),
    *(Case(f, lambda f, x, y: f(x, y), (X, Y[:, :1]), quotient) for f in (torch.div, Tensor.div, Tensor.__truediv__)),
    *(Case(f, lambda f, x, y: f(x * 1, y), (X, Y[:, :1]), quotient) for f in (Tensor.div_, Tensor.__itruediv__)),
]
