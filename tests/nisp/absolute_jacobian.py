"""What a rule does, as a matrix, beside the real Jacobian: the oracle of the tests of rules."""

import itertools

import torch

import nisp.rules  # noqa: F401  fills the table of rules
from nisp.absolute import Pass, Response, hollow
from nisp.signals import Signal


def pulled_back(func, inputs, scores):
    """The scores of ``inputs``, by the rules of all that ``func`` calls, from those of its output."""
    sources = [Signal(hollow(x).detach().requires_grad_()) for x in inputs]
    run = Pass(measuring=True)
    with torch.no_grad():
        output = func(*(Response.of(x.detach().clone(), s, run) for x, s in zip(inputs, sources, strict=True)))
        real = func(*(x.detach().clone() for x in inputs))
    torch.testing.assert_close(output.as_subclass(torch.Tensor), real)
    paths = [source.path for source in sources]
    factor = 2.0**output.signal.level
    found = torch.autograd.grad(output.signal.path, paths, scores * factor, allow_unused=True)
    return [torch.zeros_like(x) if s is None else s for x, s in zip(inputs, found, strict=True)]


def jacobians(func, inputs):
    """The real one for each input, shape (outputs, elements of the input)."""
    outputs = func(*inputs).numel()
    found = torch.autograd.functional.jacobian(func, tuple(x.detach().clone() for x in inputs))
    return [j.reshape(outputs, x.numel()) for j, x in zip(found, inputs, strict=True)]


def assert_equals(func, *inputs):
    """A linear function's scores are |J|^T s."""
    scores = torch.rand_like(func(*inputs))
    found = pulled_back(func, inputs, scores)
    for jacobian, x, score in zip(jacobians(func, inputs), inputs, found, strict=True):
        expected = (jacobian.abs().T @ scores.flatten()).reshape(x.shape)
        torch.testing.assert_close(score, expected, rtol=1e-10, atol=1e-10)


def assert_bounds(func, *inputs):
    """A function's rule bounds |J| for every pair of an output and an input."""
    shape = func(*inputs).shape
    for index, row in enumerate(zip(*jacobians(func, inputs), strict=True)):
        scores = torch.zeros(shape.numel(), dtype=torch.float64)
        scores[index] = 1
        for derivative, score in zip(row, pulled_back(func, inputs, scores.reshape(shape)), strict=True):
            assert (derivative.abs() <= score.flatten() * (1 + 1e-9) + 1e-12).all()


def slopes(func, *inputs):
    """|coefficients| of an affine function, and of a maximum, found by unit vectors of either sign.

    One matrix per input, shape (outputs, elements of the input).
    """
    zeros = [torch.zeros_like(x) for x in inputs]
    offset = func(*(zero.clone() for zero in zeros)).flatten()
    found = []
    for place, zero in enumerate(zeros):
        matrix = offset.new_zeros(len(offset), zero.numel())
        for index, sign in itertools.product(range(zero.numel()), (1, -1)):
            moved = [other.clone() for other in zeros]
            moved[place].view(-1)[index] = sign
            matrix[:, index] = torch.maximum(matrix[:, index], (func(*moved).flatten() - offset).abs())
        found.append(matrix)
    return found


def assert_scores(func, inputs, matrices):
    """Scores are matrix^T s for the matrix given for each input, and values are those of the function itself."""
    values = func(*(x.clone() for x in inputs))
    scores = torch.rand(values.shape, dtype=torch.float64) + 0.1
    found = pulled_back(func, inputs, scores)
    for matrix, x, score in zip(matrices, inputs, found, strict=True):
        expected = (matrix.double().T @ scores.flatten()).reshape(x.shape)
        torch.testing.assert_close(score, expected, rtol=1e-9, atol=1e-12)
