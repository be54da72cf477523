import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata, spearmanr

from bench.errors import UserError
from nisp import inf_fs


def literal(samples, alpha, variant):
    """The formula written out: one pair of features at a time, eigenvalues, an explicit inverse."""
    n = samples.shape[1]
    std = [np.std(samples[:, i], ddof=1) for i in range(n)]
    scaled = [(s - min(std)) / (max(std) - min(std)) for s in std]
    a = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            rho = 1.0 if i == j else spearmanr(samples[:, i], samples[:, j]).statistic
            if variant == "iccv2015":
                a[i, j] = alpha * max(std[i], std[j]) + (1 - alpha) * (1 - abs(rho))
            else:
                a[i, j] = alpha * (1 - rho) + (1 - alpha) * max(scaled[i], scaled[j])
    r = 0.9 / max(abs(np.linalg.eigvals(a)))
    return (np.linalg.inv(np.eye(n) - r * a) - np.eye(n)).sum(1)


@pytest.mark.parametrize("variant", ["iccv2015", "release2016"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_equals_the_literal_formula(variant, alpha):
    samples = np.maximum(np.random.default_rng(0).normal(size=(60, 12)), 0)  # post-ReLU: many ties
    np.testing.assert_allclose(
        inf_fs(torch.tensor(samples), alpha, variant), literal(samples, alpha, variant), rtol=1e-9
    )


@pytest.mark.parametrize("variant", ["iccv2015", "release2016"])
def test_single_precision_ranks_alike(variant):
    samples = torch.randn(60, 12).relu() * torch.tensor([1, -1] * 6)  # ties, and zeros of either sign
    torch.testing.assert_close(inf_fs(samples, 0.3, variant), inf_fs(samples.double(), 0.3, variant), rtol=1e-6, atol=0)


def test_many_features_agree_with_the_literal_formula_to_a_millionth(monkeypatch):
    samples = np.maximum(np.random.default_rng(0).normal(size=(400, 30)), 0).astype(np.float32)
    monkeypatch.setattr(sys.modules["nisp.inf_fs"], "MANY", 10)
    np.testing.assert_allclose(
        inf_fs(torch.tensor(samples)), literal(samples.astype(float), 0.5, "iccv2015"), rtol=1e-6
    )


def in_one_piece(samples, alpha, variant):
    """The same for many features, and all of their ranks at once."""
    ranks = rankdata(samples, axis=0)
    rho, std = np.corrcoef(ranks.T), np.std(samples, axis=0, ddof=1)
    if variant == "iccv2015":
        a = alpha * np.maximum(std[:, None], std) + (1 - alpha) * (1 - abs(rho))
    else:
        std = (std - std.min()) / (std.max() - std.min())
        a = alpha * (1 - rho) + (1 - alpha) * np.maximum(std[:, None], std)
    eye = np.eye(len(a))
    return np.linalg.solve(eye - 0.9 / np.linalg.eigvalsh(a)[-1] * a, eye.sum(1)) - 1


@pytest.mark.parametrize("variant", ["iccv2015", "release2016"])
@pytest.mark.parametrize(("features", "tolerance"), [(600, 1e-9), (1100, 1e-6)])
def test_features_beyond_one_block_and_beyond_double_precision(features, tolerance, variant):
    samples = np.maximum(np.random.default_rng(0).normal(size=(40, features)), -0.5).astype(np.float32)
    alive = np.arange(features) % 7 > 0
    samples[:, ~alive] = 1
    found = inf_fs(torch.tensor(samples), 0.3, variant).numpy()
    assert not found[~alive].any()
    expected = in_one_piece(samples[:, alive].astype(float), 0.3, variant)
    np.testing.assert_allclose(found[alive], expected, rtol=tolerance)


def test_correlations_are_multiplied_out_in_double_precision_up_to_1024_features():
    spearman = sys.modules["nisp.inf_fs"]._spearman
    values = np.random.default_rng(0).normal(size=(1025, 12))
    expected = np.corrcoef(rankdata(values, axis=1))
    assert abs(spearman(values[:-1]) - expected[:-1, :-1]).max() < 1e-14
    assert 1e-9 < abs(spearman(values) - expected).max() < 1e-6


@settings(max_examples=50, deadline=None)
@given(
    values=arrays(np.float32, (3, 9), elements=st.sampled_from([-2.5, -1.0, -0.0, 0.0, 1e-30, 1.0, 1.0 + 2**-23, 3.0])),
    precision=st.sampled_from([np.float32, np.float64]),
)
def test_ranks_are_scipys(values, precision):
    found = sys.modules["nisp.inf_fs"]._ranks(values.astype(precision))
    np.testing.assert_array_equal(found, rankdata(values, axis=1) - 5)


def test_two_features_by_hand():
    # Standard deviations 1 and 2, Spearman 1. With alpha = 1: A = [[1, 2], [2, 2]], its largest eigenvalue
    # is (3 + sqrt(17)) / 2.
    samples = torch.tensor([[-1.0, -2.0], [0.0, 0.0], [1.0, 2.0]])
    r = 0.9 / ((3 + 17**0.5) / 2)
    determinant = (1 - r) * (1 - 2 * r) - 4 * r * r
    expected = [((1 - 2 * r) + 2 * r) / determinant - 1, (2 * r + (1 - r)) / determinant - 1]
    np.testing.assert_allclose(inf_fs(samples, alpha=1.0), expected, rtol=1e-10)


def test_dead_units_score_zero_and_change_nothing():
    samples = torch.randn(50, 6).double()
    dead = torch.cat([samples, torch.full((50, 1), 3.0)], 1)
    scores = inf_fs(dead)
    assert scores[6] == 0
    torch.testing.assert_close(scores[:6], inf_fs(samples))


def test_release_of_equal_spreads_has_correlations_only():
    samples = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]])  # Spearman 1 / 2, so that A = [[0, 1/2], [1/2, 0]] / 2
    np.testing.assert_allclose(inf_fs(samples, 0.5, "release2016"), [9, 9], rtol=1e-9)


def test_a_feature_alone_has_paths_to_itself_only():
    np.testing.assert_allclose(inf_fs(torch.arange(9.0)[:, None]), [0.9 / (1 - 0.9)], rtol=1e-9)


def test_a_graph_without_edges_has_no_energy():
    assert sys.modules["nisp.inf_fs"]._energies(np.zeros((2, 2))).tolist() == [0, 0]


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_half_precision_is_ranked_by_its_values(precision):
    samples = torch.randn(40, 5).to(precision)
    np.testing.assert_allclose(inf_fs(samples), inf_fs(samples.double()), rtol=1e-6)


def test_all_dead_is_all_zero():
    assert inf_fs(torch.ones(10, 3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((torch.randn(5, 2), 1.2), "alpha is 1.2"),
        ((torch.randn(5, 2), -0.1), "alpha is -0.1"),
        ((torch.randn(5, 2), 0.5, "2020"), "'2020' is unknown"),
        ((torch.randn(1, 2),), "shape"),
        ((torch.randn(5),), "shape"),
        ((torch.randn(5, 2, 2),), "shape"),
        ((torch.tensor([[1.0, float("nan")], [0.0, 1.0]]),), "not finite"),
        ((torch.tensor([[1.0, 2.0], [float("inf"), 1.0]]),), "not finite"),
    ],
)
def test_mistakes_are_named(arguments, word):
    with pytest.raises(UserError, match=word):
        inf_fs(*arguments)
