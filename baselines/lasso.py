"""Channel pruning by Lasso: a few weighted channels that reproduce the outputs of the next layers (He et al. 2017).

Equation: min over β of ‖Y − Σ_i β_i Z_i‖² / 2N + λ ‖β‖₁;  score = |β_i|, with the largest λ that leaves enough β ≠ 0;
    Z_i is a channel's contribution to the outputs of the layers that read it, in the network as pruned so far;
    Y is the original network's outputs of these layers, minus the contributions of other channels and the bias
Data: calibration images, without labels; five random positions per map.
Cost: per group, a forward pass of the calibration images and up to 40 Lasso fits with one unknown per channel.
Deviations: the penalty λ is doubled until too few channels are left, then bisected, as published. The fits use the
    normal equations of all sampled outputs, and stop after scikit-learn's 1,000 rounds. If several β vanish at once,
    the fit with more channels left is used, and its largest |β| are kept; if too few are ever non-zero (dead channels),
    the rest are kept in order. β is not multiplied into the weights, and these are only re-solved with
    ``refit_layers`` or by the reconstruction least_squares. The layers that read a coupled group are added up; the
    publication does not prune residual streams.
Pinned by: tests/baselines/test_rankings.py::test_lassos_normal_equations_and_choice_are_those_of_all_rows,
    tests/baselines/test_rankings.py::test_lasso_finds_the_best_subset_where_channels_do_not_overlap,
    tests/baselines/test_rankings.py::test_lassos_second_layer_sees_the_pruned_first_and_aims_at_the_original
"""

import warnings
from collections.abc import Mapping

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from torch import Tensor, nn

from baselines._front_to_back import Layers, front_to_back, original_rows
from baselines._greedy import gram
from nisp.pruning.contract import Group, Problem, Scores
from nisp.pruning.layer_weights import weight_of

SMALLEST = 1e-6
"""The smallest penalty that is tried, relative to the one at which every weight vanishes."""

FIRST = 1e-3
"""The penalty at which doubling starts, relative to the same; below it, bisection goes down to the smallest."""

BISECTIONS = 30

TOLERANCE = 1e-10
"""Tolerance of a fit, relative to the square of the target. With scikit-learn's 1e-4, a fit that starts from that of
another small penalty stops at once, so channels of little effect would never be found."""


def score(problem: Problem, refit_layers: bool = False) -> Scores:
    """|weight| of every channel in the sparsest combination that still keeps enough channels.

    refit_layers  re-solve the layers that read a group before the next group is chosen
    """
    targets = original_rows(problem)

    def weights(model: nn.Module, group: Group, rows: Layers, _: Mapping[str, Tensor]) -> Tensor:
        return selection(*system(model, group, rows, targets), problem.keep[group.name]).abs()

    return front_to_back(problem, weights, targets if refit_layers else None)


def system(model: nn.Module, group: Group, rows: Layers, targets: Layers) -> tuple[Tensor, Tensor]:
    """Normal equations for weights of the channels' contributions to their consumers' outputs that fit the target.

    Products of contributions, shape (channels, channels), and of contributions with the target, shape (channels,),
    summed over rows, outputs and consumers, float64. The target is the original output minus the contributions of all
    other channels and the bias.
    """
    products = torch.zeros(group.channels, group.channels, dtype=torch.float64)
    moments = torch.zeros(group.channels, dtype=torch.float64)
    for consumer in group.consumers:
        name, read = consumer.name, consumer.inputs.flatten()
        if name not in rows:  # an auxiliary head, which does not run
            continue
        weight = weight_of(model, name)
        weight = weight.reshape(len(weight), rows[name].inputs.shape[1], -1)[:, read].double().flatten(1)
        taps = rows[name].inputs[:, read].double().flatten(1)
        own = taps @ weight.T
        wanted = targets[name].outputs.double() - rows[name].outputs.double() + own
        parts = (wanted.T @ taps) * weight
        moments += parts.sum(0).reshape(group.channels, -1).sum(1).cpu()
        products += gram(model, name, consumer.inputs, rows[name])
    return products, moments


def selection(products: Tensor, moments: Tensor, keep: int) -> Tensor:
    """Weights of the channels, shape (channels,): at least ``keep`` are not 0, and as few more as possible.

    If several channels vanish at once, these are the weights just before; if fewer than ``keep`` are ever non-zero, the
    weights at the smallest penalty.
    """
    values, vectors = torch.linalg.eigh(products)
    used = values > 1e-12 * values[-1]
    if not used.any():
        return torch.zeros_like(moments)
    # A design with at most one row per channel and the same normal equations as all rows and outputs of the consumers.
    roots = values[used].sqrt()
    design = (roots[:, None] * vectors[:, used].T).numpy()
    target = (vectors[:, used].T @ moments / roots).numpy()
    lasso = Lasso(fit_intercept=False, warm_start=True, tol=TOLERANCE)

    def weights(penalty: float) -> Tensor:
        with warnings.catch_warnings():  # the choice of channels settles long before the last digits do
            warnings.simplefilter("ignore", ConvergenceWarning)
            return torch.from_numpy(lasso.set_params(alpha=penalty).fit(design, target).coef_.copy())

    largest = moments.abs().max().item() / len(design)  # where the last weight vanishes
    low, high = SMALLEST * largest, FIRST * largest
    found = None
    while high < largest and (tried := weights(high)).count_nonzero() >= keep:
        low, high, found = high, 2 * high, tried
    for _ in range(BISECTIONS):
        middle = (low * high) ** 0.5
        tried = weights(middle)
        if tried.count_nonzero() < keep:
            high = middle
            continue
        low, found = middle, tried
        if tried.count_nonzero() == keep:
            break
    return weights(low) if found is None else found
