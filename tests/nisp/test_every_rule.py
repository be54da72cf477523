"""Every rule equals its documented bound: not too small, and not too large either."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import resolve_name

import nisp
from nisp.absolute import Response
from nisp.table import COMPOSED, GAINS, RULES
from tests.nisp.absolute_jacobian import assert_scores, jacobians, pulled_back, slopes
from tests.nisp.cases_composed import COMPOSITIONS
from tests.nisp.cases_curves import (
    DERIVATIVES,
    LOG_SOFTMAX,
    MEASURED,
    REDUCTIONS,
    SOFTMAX,
    STEEPEST,
    log_softmax_matrix,
    over,
    softmax_matrix,
)  # fmt: skip
from tests.nisp.cases_measured import NORMS, PRODUCTS, numbers
from tests.nisp.cases_moves import LAYERS, MOVES, WINDOWS
from tests.nisp.cases_spelled import SPELLED
from tests.nisp.test_dispatched_rules import CASES as DISPATCHED

ELSEWHERE = {
    torch.Tensor.cuda: "needs a GPU; has a test of its own",
    torch.nn.Identity.forward: "torch never asks for it: nothing is computed",
}
KNOWN_AS = {torch.Tensor.__matmul__: torch.Tensor.matmul}
"""Functions that torch asks for by another name, with a rule of its own."""


def each(table):
    return [(function, entry) for functions, entry in table.items() for function in functions]


def named(value):
    return str(resolve_name(value) or getattr(value, "__name__", "")) if callable(value) else ""


@pytest.fixture
def rule_of(monkeypatch):
    """Checks that the rule of a function was asked for, under any name."""
    asked = []
    plain = Response.__torch_function__.__func__

    def noting(cls, func, types, args=(), kwargs=None):
        asked.append(RULES.get(func, COMPOSED.get(func)))
        return plain(cls, func, types, args, kwargs)

    monkeypatch.setattr(Response, "__torch_function__", classmethod(noting))

    def check(function):
        function = KNOWN_AS.get(function, function)
        assert (RULES | COMPOSED)[function] in asked

    return check


@pytest.mark.parametrize(("function", "call"), [*each(MOVES), *each(SPELLED)], ids=named)
def test_what_runs_as_it_is_has_the_magnitudes_of_its_coefficients(function, call, rule_of):
    x = numbers(1, 4, 4, 4)
    assert_scores(lambda x: call(function, x), [x], slopes(lambda x: call(function, x), x))
    rule_of(function)


@pytest.mark.parametrize(("function", "call"), each(WINDOWS), ids=named)
def test_a_maximum_counts_every_element_of_its_window(function, call, rule_of):
    x = numbers(1, 4, 4, 4)
    [matrix] = slopes(lambda x: call(function, x), x)
    assert set(matrix.unique().tolist()) in ({0, 1}, {1})
    assert_scores(lambda x: call(function, x), [x], [matrix])
    rule_of(function)


def rounded_up(value):
    """In the fourth decimal."""
    return math.ceil(value * 1e4 - 1e-4) / 1e4


@pytest.mark.parametrize(("function", "call"), STEEPEST, ids=named)
def test_an_activations_constant_is_its_greatest_slope(function, call, rule_of):
    points = torch.linspace(-30, 30, 600_001, dtype=torch.float64).reshape(1, 1, -1).requires_grad_()
    [found] = torch.autograd.grad(call(function, points * 1).sum(), points)
    greatest = found.abs().max().item()
    x = numbers(1, 1, 3)
    [constants] = pulled_back(lambda x: call(function, x), [x], torch.ones_like(call(function, x.clone())))
    [constant] = constants.unique().tolist()
    assert constant == pytest.approx(greatest, abs=1e-8) or constant == rounded_up(greatest)
    rule_of(function)


@pytest.mark.parametrize(("function", "entry"), each(DERIVATIVES), ids=named)
def test_a_measured_curve_has_its_derivative(function, entry, rule_of):
    call, derivative = entry
    x = numbers(2, 3, 2).abs() + 0.3
    assert_scores(lambda x: call(function, x), [x], [torch.diag(derivative(x).flatten())])
    rule_of(function)


@pytest.mark.parametrize(("function", "entry"), each(REDUCTIONS), ids=named)
def test_norms_and_deviations_have_their_derivatives(function, entry, rule_of):
    call, derivative = entry
    x = numbers(2, 3, 2)
    assert_scores(lambda x: call(function, x), [x], [over(x, derivative)])
    rule_of(function)


@pytest.mark.parametrize(("function", "call"), MEASURED, ids=named)
def test_a_curve_or_a_choice_has_its_real_jacobian(function, call, rule_of):
    x = numbers(2, 3, 2).sigmoid()
    [matrix] = jacobians(lambda x: call(function, x), [x])
    assert_scores(lambda x: call(function, x), [x], [matrix.abs()])
    rule_of(function)


@pytest.mark.parametrize("function", LOG_SOFTMAX, ids=named)
def test_log_softmax_has_its_absolute_jacobian(function, rule_of):
    x = numbers(2, 3, 2)
    assert_scores(lambda x: function(x, 1), [x], [log_softmax_matrix(x)])
    rule_of(function)


@pytest.mark.parametrize("function", SOFTMAX, ids=named)
def test_softmax_has_its_absolute_jacobian(function, rule_of):
    x = numbers(2, 3, 2)
    assert_scores(lambda x: function(x, 1), [x], [softmax_matrix(x)])
    rule_of(function)


@pytest.mark.parametrize("case", [*NORMS, *PRODUCTS], ids=lambda case: named(case.function))
def test_a_measured_bound_is_the_documented_one(case, rule_of):
    assert_scores(lambda *x: case.call(case.function, *x), case.inputs, case.matrices(*case.inputs))
    rule_of(case.function)


@pytest.mark.parametrize(("function", "call", "shape"), LAYERS, ids=named)
def test_a_layer_has_the_magnitudes_of_its_weights(function, call, shape, rule_of):
    x = numbers(*shape)
    assert_scores(lambda x: call(function, x), [x], slopes(lambda x: call(function, x), x))
    rule_of(function)


@pytest.mark.parametrize("case", COMPOSITIONS, ids=lambda case: named(case.function))
def test_a_composed_function_has_the_bound_of_its_parts(case, rule_of):
    assert_scores(lambda *x: case.call(case.function, *x), case.inputs, case.matrices(*case.inputs))
    rule_of(case.function)


def overwritten(x):
    y = x.square()
    x.add_(5)
    return y + 0 * x


def test_values_are_those_before_they_are_written_over():
    x = numbers(2, 3)
    assert_scores(overwritten, [x], [torch.diag(2 * x.abs().flatten())])


def test_no_rule_is_without_a_case():
    tables = [
        *each(MOVES),
        *each(SPELLED),
        *each(WINDOWS),
        *each(DERIVATIVES),
        *each(REDUCTIONS),
        *STEEPEST,
        *MEASURED,
        *LAYERS,
    ]
    known = {function for function, *_ in tables} | {case.function for case in (*NORMS, *PRODUCTS, *COMPOSITIONS)}
    known |= {*SOFTMAX, *LOG_SOFTMAX, *ELSEWHERE}
    known |= {operation for operation, *_ in DISPATCHED} | {torch.ops.aten.cudnn_batch_norm}  # which needs a GPU
    missing = [named(function) for function in (RULES | COMPOSED) if function not in known]
    assert not missing


def test_a_copy_to_a_gpu_has_the_rule_of_a_copy_to_the_cpu():
    assert RULES[torch.Tensor.cuda] is RULES[torch.Tensor.cpu]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_response_may_move_to_a_gpu_and_back():
    x = numbers(2, 3)
    assert_scores(lambda x: (x.cuda() * 2).cpu(), [x], [2 * torch.eye(6)])


def test_a_response_that_reaches_none_of_the_outputs_in_use_scores_nothing():
    x, y = numbers(2), numbers(3)
    first, second = pulled_back(lambda x, y: torch.meshgrid(x, y, indexing="ij")[0], [x, y], torch.ones(2, 3).double())
    assert first.tolist() == [3, 3] and second.tolist() == [0, 0, 0]


@pytest.mark.parametrize("eps", [(1e-5,), ()])
def test_the_gain_of_a_batch_norm_reads_its_eps_by_place_and_by_name(eps):
    var = torch.zeros(3)
    x = numbers(1, 3)
    by_place = GAINS[F.batch_norm](x, var, var, None, None, False, 0.1, *eps)
    assert by_place == pytest.approx(1e-5**-0.5)
    assert GAINS[F.batch_norm](x, var, var, None, None, False, 0.1, 0.04) == pytest.approx(5)
    assert GAINS[F.batch_norm](x, var, var, eps=0.04) == pytest.approx(5)
    assert GAINS[torch.batch_norm](x, None, None, var, var, False, 0.1, 0.04, False) == pytest.approx(5)


def test_a_function_of_very_many_responses_is_followed():
    parts = [nn.Conv2d(1, 1, 1) for _ in range(90)]

    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts, self.head = nn.ModuleList(parts), nn.Linear(90, 2)

        def forward(self, x):
            return self.head(torch.cat([part(x) for part in self.parts], 1).mean((2, 3)))

    found = nisp.scores(Wide(), torch.randn(1, 1, 4, 4), frl_scores=torch.arange(1.0, 91))
    assert [found[f"parts.{i}"].item() for i in (0, 59, 60, 89)] == pytest.approx([1, 60, 61, 90])
