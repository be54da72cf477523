"""Where trainings start, by what recipe, how steps follow each other, and that test images decide nothing."""

import copy
from dataclasses import astuple, replace
from typing import get_args

import pytest
import torch

import baselines.magnitude
import baselines.random
from bench import measure
from bench.data import Split
from bench.experiment import Cut, prepared, recovery_recipe, run
from bench.recovery import SCRATCH, Recovery
from bench.specs import PlanSpec
from bench.training import Recipe, recalibrate, reinitialise, train
from nisp import inf_fs
from tests.bench.test_experiment import HALF, PROTOCOL, method, trained_base
from tests.bench.test_training import weights

SEED = 3
MAGNITUDE = baselines.magnitude.score


@pytest.fixture(scope="module")
def base(digits):
    return trained_base(digits)


def losses(curve):
    return [epoch.test_loss for epoch in curve]


def bare(base):
    """The network just pruned, nothing recovered."""
    return run(base, method("none", MAGNITUDE), PROTOCOL, HALF, SEED).model


def trained(model, base, recipe):
    curve = train(model, base.dataset, recipe, SEED)
    return losses(curve), weights(model)


def test_fine_tuning_is_training_of_the_recalibrated_network(base):
    protocol = replace(PROTOCOL, base=Recipe(3, 64, 0.2, 0.7, 1e-3, "step", ("shift",)), learning_rate_factor=0.05)
    result = run(base, method("finetune", MAGNITUDE), protocol, HALF, SEED)
    model = bare(base)
    recalibrate(model, base.dataset.calibration(100, SEED).images)
    expected, by_hand = trained(model, base, Recipe(4, 64, 0.2 * 0.05, 0.7, 1e-3, "step", ("shift",)))
    assert losses(result.curve) == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(weights(result.model), by_hand)


@pytest.mark.parametrize(("recovery", "epochs"), [("scratch_e", 3), ("scratch_paper", 4)])
def test_training_from_scratch_is_training_of_a_network_with_fresh_weights(base, recovery, epochs):
    result = run(base, method(recovery, MAGNITUDE), PROTOCOL, HALF, SEED)
    model = bare(base)
    reinitialise(model, SEED)
    expected, by_hand = trained(model, base, replace(PROTOCOL.base, epochs=epochs))
    assert losses(result.curve) == expected and torch.equal(weights(result.model), by_hand)


@pytest.mark.parametrize("recovery", get_args(Recovery))
def test_only_what_starts_from_random_weights_forgets_the_bases(base, recovery):
    """The same shapes, and other weights: these decide the result, except where it is trained from scratch."""
    other = replace(base, model=copy.deepcopy(base.model))
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter *= 1.1
    short = replace(PROTOCOL, base=replace(PROTOCOL.base, epochs=1), finetune_epochs=1)
    one, two = (
        weights(run(each, method(recovery, baselines.random.score), short, HALF, SEED).model) for each in (base, other)
    )
    assert torch.equal(one, two) == (recovery in SCRATCH)


def test_each_learning_rate_starts_from_the_same_network(base):
    alone = run(base, method("finetune_tuned"), replace(PROTOCOL, tuned_factors=(0.1,)), HALF, SEED)
    both = run(base, method("finetune_tuned"), replace(PROTOCOL, tuned_factors=(1e-4, 0.1, 1e-5)), HALF, SEED)
    assert both.row["learning_rate_factor"] == alone.row["learning_rate_factor"] == 0.1
    assert losses(both.curve) == losses(alone.curve)
    assert torch.equal(weights(both.model), weights(alone.model)), "the best network is returned, not the last"


@pytest.mark.parametrize("factors", [(1e-9, 1e-8), (1e-8, 1e-9)])
def test_of_learning_rates_that_are_equally_good_the_smallest_is_taken(base, factors):
    tuned = run(base, method("finetune_tuned"), replace(PROTOCOL, tuned_factors=factors), HALF, SEED)
    assert tuned.row["learning_rate_factor"] == 1e-9 and tuned.curve[0].learning_rate == 1e-9 * 0.1


@pytest.mark.parametrize(
    ("recovery", "ratio", "epochs", "factor"),
    [
        ("finetune", 4, 7, 0.1), ("finetune_tuned", 4, 7, 0.1), ("scratch_paper", 4, 7, 1), ("scratch_e", 4, 3, 1),
        ("scratch_b", 1.2, 4, 1), ("scratch_b", 1.6, 5, 1), ("scratch_b", 9, 9, 1), ("scratch_total", 1.6, 12, 1),
    ],
)  # fmt: skip
def test_a_recovery_takes_the_bases_recipe_with_its_own_epochs_and_learning_rate(recovery, ratio, epochs, factor):
    base = Recipe(3, 50, 0.2, 0.7, 1e-3, "step", ("flip",), "bf16")
    protocol = replace(PROTOCOL, base=base, finetune_epochs=7, scratch_b_limit=3)
    recipe = recovery_recipe(recovery, protocol, ratio)
    assert recipe.learning_rate == pytest.approx(0.2 * factor)
    assert recipe == Recipe(epochs, 50, recipe.learning_rate, 0.7, 1e-3, "step", ("flip",), "bf16")


def test_scratch_b_takes_as_many_more_epochs_as_the_base_has_more_macs(base):
    result = run(base, method("scratch_b"), replace(PROTOCOL, scratch_b_limit=100), HALF, SEED)
    ratio = result.row["macs_base"] / result.row["macs"]
    assert ratio > 3 and len(result.curve) - 1 == round(3 * ratio)


def test_two_steps_are_two_prunings_one_after_the_other(base):
    """From 16 and 32 channels to 12 and 24, then to 8 and 16; of five epochs the first step has two."""
    both = run(base, method("finetune", MAGNITUDE, steps=2), replace(PROTOCOL, finetune_epochs=5), HALF, SEED)
    first = run(base, method("finetune", MAGNITUDE), replace(PROTOCOL, finetune_epochs=2), Cut(PlanSpec(), 1 / 4), SEED)
    between = prepared(first.model, base.dataset, inf_fs)
    last = replace(PROTOCOL, finetune_epochs=3)
    second = run(between, method("finetune", MAGNITUDE), last, Cut(PlanSpec(), 1 / 3), SEED)
    assert first.keep == {"0": 12, "3": 12, "7": 24, "10": 24} and both.keep == second.keep
    torch.testing.assert_close(weights(both.model), weights(second.model))
    for column in ("top1_pruned", "top1_recalibrated", "top1_final", "macs", "params", "val_top1_final"):
        assert both.row[column] == second.row[column]
    expected = [*first.curve, *second.curve[1:]]
    assert [epoch.epoch for epoch in both.curve] == [0, 1, 2, 3, 4, 5]
    for ours, theirs in zip(both.curve[1:], expected[1:], strict=True):
        assert astuple(ours)[1:-1] == pytest.approx(astuple(theirs)[1:-1], rel=1e-5)
    assert both.curve[0].test_loss == first.curve[0].test_loss


@pytest.mark.parametrize("recovery", ["none", "recalibrate"])
def test_every_step_goes_on_from_what_the_one_before_recovered(base, recovery):
    both = run(base, method(recovery, MAGNITUDE, steps=2, reconstruction="least_squares"), PROTOCOL, HALF, SEED)
    quarter, third = (Cut(PlanSpec(), ratio) for ratio in (1 / 4, 1 / 3))
    alone = method(recovery, MAGNITUDE, reconstruction="least_squares")
    between = prepared(run(base, alone, PROTOCOL, quarter, SEED).model, base.dataset, inf_fs)
    second = run(between, alone, PROTOCOL, third, SEED)
    torch.testing.assert_close(weights(both.model), weights(second.model), rtol=1e-3, atol=1e-5)
    assert [refit.ridge for refit in both.refits] == [refit.ridge for refit in second.refits], "of the last step"
    assert both.row["top1_pruned"] == second.row["top1_pruned"]


MEASURED_ON_TEST_IMAGES = {
    "top1_base", "top1_pruned", "top1_recalibrated", "top1_final", "top5_base", "top5_final",
    "agreement_top1", "agreement_top5",
}  # fmt: skip


@pytest.mark.parametrize("recovery", ["recalibrate", "finetune_tuned", "scratch_b"])
def test_noise_in_place_of_test_images_changes_reported_accuracies_and_nothing_else(base, recovery):
    data = base.dataset
    noise = Split(torch.randn_like(data.test.images), data.test.labels.flip(0))
    composed = method(recovery, reconstruction="least_squares")
    seeing, blind = (
        run(prepared(base.model, dataset, inf_fs), composed, PROTOCOL, HALF, SEED)
        for dataset in (data, replace(data, test=noise))
    )
    assert torch.equal(weights(seeing.model), weights(blind.model))
    assert seeing.refits == blind.refits and seeing.keep == blind.keep
    differing = {name for name, value in seeing.row.items() if repr(value) != repr(blind.row[name])}
    assert differing - {"score_seconds"} == MEASURED_ON_TEST_IMAGES


def test_the_base_is_left_as_it_was(base):
    before = copy.deepcopy(base.model.state_dict())
    for recovery in get_args(Recovery):
        short = replace(PROTOCOL, base=replace(PROTOCOL.base, epochs=1), finetune_epochs=1)
        run(base, method(recovery, MAGNITUDE, reconstruction="least_squares"), short, HALF, SEED)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.model.state_dict().items())
    assert not base.model.training and measure.top1(base.model, base.dataset.test) == base.top1
