"""Whole runs on a small trained network: steps, recoveries, budgets, and what is chosen on validation images."""

import math
from dataclasses import replace

import pytest
import torch

import baselines.magnitude
import baselines.random
import nisp.criteria.nisp
from bench.data import Dataset, Split
from bench.runs.base_network import prepared
from bench.runs.experiment import run
from bench.runs.setup import Method, Protocol, Target
from bench.suite.specs import PlanSpec
from bench.training.loop import Recipe, train
from nisp import inf_fs
from tests.conftest import build

PROTOCOL = Protocol(
    base=Recipe(3, 64, 0.1, 0.9, 5e-4, "cosine"),
    finetune_epochs=4,
    learning_rate_factor=0.1,
    tuned_factors=(1e-6, 0.1),
    calibration_images=100,
    scratch_b_limit=2,
)
HALF = Target(PlanSpec(), 0.5)


def trained_base(digits):
    torch.manual_seed(0)
    model = build("plain", 4)
    train(model, digits, PROTOCOL.base, 0)
    return prepared(model, digits, inf_fs)


@pytest.fixture(scope="module")
def base(digits):
    return trained_base(digits)


def method(recovery="recalibrate", score=nisp.criteria.nisp.score, **options):
    return Method(score, {}, options.pop("reconstruction", "none"), recovery, **options)


def test_one_step_is_the_default_and_final_is_the_recoverys_accuracy(base):
    plain = run(base, method("none"), PROTOCOL, HALF, 0)
    assert plain.row["top1_final"] == plain.row["top1_pruned"] and not plain.curve and not plain.refits
    recalibrated = run(base, method(), PROTOCOL, HALF, 0)
    assert recalibrated.row["top1_final"] == recalibrated.row["top1_recalibrated"]
    assert recalibrated.row["top1_pruned"] == plain.row["top1_pruned"]
    assert math.isnan(recalibrated.row["learning_rate_factor"])
    tuned = run(base, method("finetune"), PROTOCOL, HALF, 0)
    assert [epoch.epoch for epoch in tuned.curve] == [0, 1, 2, 3, 4]
    assert tuned.row["top1_final"] == tuned.curve[-1].test_top1
    assert tuned.row["learning_rate_factor"] == pytest.approx(0.1)


def test_training_from_scratch_takes_the_epochs_of_its_protocol(base):
    """Half of the channels leave less than half of the MACs, so Scratch-B takes twice the base's 3 epochs."""
    for recovery, epochs in (("scratch_paper", 4), ("scratch_e", 3), ("scratch_b", 6), ("scratch_total", 6 + 4)):
        scratch = run(base, method(recovery), PROTOCOL, HALF, 0)
        assert len(scratch.curve) == 1 + epochs
        assert scratch.row["top1_final"] == scratch.curve[-1].test_top1
        assert scratch.row["learning_rate_factor"] == 1


def test_steps_end_at_the_same_shape_with_the_same_epochs(base):
    once, thrice = (run(base, method("finetune", steps=steps), PROTOCOL, HALF, 0) for steps in (1, 3))
    assert once.keep == thrice.keep
    assert (once.row["macs"], once.row["params"]) == (thrice.row["macs"], thrice.row["params"])
    assert [epoch.epoch for epoch in thrice.curve] == [0, 1, 2, 3, 4]
    assert thrice.row["removal_error"] < 1e-9
    assert [p.shape for p in once.model.parameters()] == [p.shape for p in thrice.model.parameters()]


def test_scores_of_one_pass_choose_the_same_channels_in_any_number_of_steps(base):
    """Without training between the steps, and with scores that do not depend on what was removed before."""
    once = run(base, method(score=baselines.magnitude.score), PROTOCOL, HALF, 0)
    steps = run(base, method(score=baselines.magnitude.score, steps=4, rescore=False), PROTOCOL, HALF, 0)
    for first, second in zip(once.model.parameters(), steps.model.parameters(), strict=True):
        torch.testing.assert_close(first, second)
    rescored = run(base, method(score=baselines.magnitude.score, steps=4), PROTOCOL, HALF, 0)
    assert rescored.row["macs"] == once.row["macs"]


def test_scores_are_asked_for_once_or_at_every_step(base):
    asked = []

    def counting(problem):
        asked.append([group.channels for group in problem.groups])
        return baselines.random.score(problem)

    run(base, method(score=counting, steps=3, rescore=False), PROTOCOL, HALF, 0)
    assert len(asked) == 1
    run(base, method(score=counting, steps=3), PROTOCOL, HALF, 0)
    assert len(asked) == 4 and asked[1] > asked[2] > asked[3]


def test_the_tuned_learning_rate_is_chosen_on_validation_images(base):
    """Test labels are permuted, so that the test accuracy of every rate is chance: the choice must not care."""
    tuned = run(base, method("finetune_tuned"), PROTOCOL, HALF, 0)
    assert tuned.row["learning_rate_factor"] == 0.1, "a millionth of the learning rate learns nothing"
    data = base.dataset
    shuffled = Split(data.test.images, data.test.labels.roll(1))
    blind = replace(base, dataset=Dataset(data.name, data.train, data.validation, shuffled, data.classes))
    assert run(blind, method("finetune_tuned"), PROTOCOL, HALF, 0).row["learning_rate_factor"] == 0.1


def test_least_squares_reports_every_layer(base):
    result = run(base, method(reconstruction="least_squares"), PROTOCOL, HALF, 0)
    readers = {consumer.name for group in base.anatomy.groups for consumer in group.consumers}
    assert {refit.layer for refit in result.refits} == readers
    assert all(refit.error < refit.error_before for refit in result.refits)


def test_statistics_that_are_estimated_again_absorb_mean_compensation_in_front_of_a_batch_norm(digits):
    """In a ResNet, of all layers but the classifier; new biases count as parameters and MACs, in any order of runs."""
    torch.manual_seed(0)
    model = build("resnet", 8)
    train(model, digits, PROTOCOL.base, 0)
    none, mean = method(), method(reconstruction="mean")
    found = []
    for order in ((none, mean), (mean, none)):
        base = prepared(model, digits, inf_fs)
        found.append({each.reconstruction: run(base, each, PROTOCOL, HALF, 0) for each in order})
    plain, results = found[0]["none"], found[0]["mean"]
    assert all(found[1][name].row["macs"] == result.row["macs"] for name, result in found[0].items())
    grown = {n: p.numel() for n, p in results.model.named_parameters() if n not in dict(plain.model.named_parameters())}
    assert len(grown) == 8 and all(name.endswith(".bias") for name in grown)
    assert results.row["params"] == plain.row["params"] + sum(grown.values())
    assert plain.row["macs"] < results.row["macs"] < 1.02 * plain.row["macs"]
    assert results.row["top1_pruned"] != plain.row["top1_pruned"]
    images = digits.test.images[:50]
    with torch.no_grad():
        shift = results.model.classifier.bias - plain.model.classifier.bias
        torch.testing.assert_close(results.model(images), plain.model(images) + shift, rtol=1e-3, atol=1e-3)
    assert shift.abs().max() > 0.01


@pytest.mark.parametrize("allocation", ["uniform", "scores", "magnitude"])
def test_all_methods_meet_the_same_macs(base, allocation):
    sensitivity = baselines.magnitude.score if allocation == "magnitude" else None
    cut = Target(PlanSpec(budget="macs", allocation=allocation), 0.5, sensitivity)
    kept = []
    for score in (nisp.criteria.nisp.score, baselines.magnitude.score, baselines.random.score):
        result = run(base, method(score=score), PROTOCOL, cut, 0)
        assert abs(result.row["macs"] / result.row["macs_base"] - 0.5) <= 0.005
        kept.append(result.keep)
    assert (kept[0] == kept[1]) == (allocation != "scores")


def test_a_killed_fine_tuning_goes_on_where_it_was(base, tmp_path, monkeypatch):
    whole = run(base, method("finetune"), PROTOCOL, HALF, 0)
    monkeypatch.setattr("bench.training.checkpoints.SECONDS", 0.0)
    trained = []

    def killed(*args, **kwargs):
        def stop(epoch):
            trained.append(epoch.epoch)
            if len(trained) == 2:
                raise KeyboardInterrupt

        return train(*args, **kwargs, report=stop)

    monkeypatch.setattr("bench.runs.recovery.train", killed)
    with pytest.raises(KeyboardInterrupt):
        run(base, method("finetune"), PROTOCOL, HALF, 0, tmp_path / "x.checkpoint")
    assert [file.name for file in tmp_path.iterdir()] == ["x.checkpoint.1.0.1"]
    resumed = run(base, method("finetune"), PROTOCOL, HALF, 0, tmp_path / "x.checkpoint")
    assert trained == [1, 2, 2, 3, 4], "the second epoch was not saved when it was killed"
    assert resumed.row["top1_final"] == whole.row["top1_final"]
    assert [epoch.test_loss for epoch in resumed.curve] == [epoch.test_loss for epoch in whole.curve]
    assert not list(tmp_path.iterdir())
