"""What criteria, allocation, reconstruction and ranking are given to decide by."""

import copy
from dataclasses import replace

import pytest
import torch

import baselines.magnitude
import baselines.random
from bench.data import Split
from bench.runs import base_network, stages
from bench.runs.base_network import prepared
from bench.runs.experiment import run
from bench.runs.setup import Method, Target
from bench.suite.specs import PlanSpec
from bench.training.streams import stream
from tests.bench.runs.test_experiment import HALF, PROTOCOL, method, trained_base
from tests.conftest import build

SEED = 3
MAGNITUDE = baselines.magnitude.score


@pytest.fixture(scope="module")
def base(digits):
    return trained_base(digits)


def test_a_criterion_is_given_its_options_and_at_each_step_what_is_left_to_prune(base):
    """A loss of 5 of 16 and 10 of 32 channels in three steps, each rounded to the nearest."""
    asked = []

    def spying(problem, **options):
        asked.append((problem, options, copy.deepcopy(problem.model.state_dict())))
        return baselines.random.score(problem)

    spy = Method(spying, {"alpha": 0.25}, "none", "recalibrate", steps=3)
    result = run(base, spy, PROTOCOL, Target(PlanSpec(), 0.3), SEED)
    assert [dict(problem.keep) for problem, _, _ in asked] == [
        {"0": 14, "3": 14, "7": 29, "10": 29},
        {"0": 13, "3": 13, "7": 25, "10": 25},
        {"0": 11, "3": 11, "7": 22, "10": 22},
    ]
    assert result.keep == dict(asked[-1][0].keep)
    calibration = base.dataset.calibration(100, stream(SEED, "calibration"))
    for (problem, options, state), channels in zip(asked, (16, 14, 13), strict=True):
        assert (
            options == {"alpha": 0.25}
            and problem.seed == stream(SEED, "criterion")
            and problem.classifier == base.classifier
        )
        assert not problem.model.training and problem.groups[0].channels == channels
        assert torch.equal(problem.images, calibration.images) and torch.equal(problem.labels, calibration.labels)
        assert all(torch.equal(tensor, state[name]) for name, tensor in problem.model.state_dict().items())


@pytest.mark.parametrize("allocation", ["scores", "magnitude"])
def test_allocation_scores_the_whole_network_by_the_methods_or_its_own_criterion(base, allocation):
    own, common = [], []

    def scores(problem, **options):
        own.append((problem, options))
        return baselines.random.score(problem)

    def others(problem):
        common.append(problem)
        return MAGNITUDE(problem)

    spy = Method(scores, {"alpha": 0.25}, "none", "none")
    target = Target(PlanSpec(budget="macs", allocation=allocation), 0.5, None if allocation == "scores" else others)
    run(base, spy, PROTOCOL, target, SEED)
    problem, options = own[0] if allocation == "scores" else (common[0], {"alpha": 0.25})
    assert (len(own), len(common)) == ((2, 0) if allocation == "scores" else (1, 1))
    assert dict(problem.keep) == {"0": 16, "3": 16, "7": 32, "10": 32} and options == {"alpha": 0.25}
    assert (
        problem.model is base.model
        and problem.seed == stream(SEED, "criterion")
        and problem.classifier == base.classifier
    )
    calibration = base.dataset.calibration(100, stream(SEED, "calibration"))
    assert torch.equal(problem.images, calibration.images) and torch.equal(problem.labels, calibration.labels)


def test_least_squares_is_given_calibration_images_and_as_many_of_the_validation_images(base, monkeypatch):
    given = []
    whole = stages.least_squares
    monkeypatch.setattr(stages, "least_squares", lambda *args: given.append(args) or whole(*args))
    run(base, method("none", MAGNITUDE, reconstruction="least_squares"), PROTOCOL, HALF, SEED)
    [(original, silenced, _, kept, images, validation, seed)] = given
    assert (
        original is base.model
        and seed == stream(SEED, "positions")
        and {len(indices) for indices in kept.values()} == {8, 16}
    )
    assert torch.equal(images, base.dataset.calibration(100, stream(SEED, "calibration")).images)
    assert torch.equal(validation, base.dataset.validation.images[:100])
    assert not torch.equal(silenced[3].weight, original[3].weight)


def test_mean_compensation_is_given_the_cut_network_and_calibration_images(base, monkeypatch):
    given, whole = [], stages.mean_compensation
    monkeypatch.setattr(stages, "mean_compensation", lambda *args: given.append(args) or whole(*args))
    result = run(base, method("none", MAGNITUDE, reconstruction="mean"), PROTOCOL, HALF, SEED)
    [(original, small, groups, kept, images)] = given
    assert original is base.model and small is result.model and groups == base.anatomy.groups
    assert {len(indices) for indices in kept.values()} == {8, 16}
    assert torch.equal(images, base.dataset.calibration(100, stream(SEED, "calibration")).images)
    assert not result.refits


def test_final_responses_are_ranked_on_the_first_training_images_and_compared_on_validation_images(digits, monkeypatch):
    ranked = []
    monkeypatch.setattr(base_network, "RANKED_IMAGES", 70)
    model = build("plain", 4).train()
    made = prepared(model, digits, lambda responses: ranked.append(responses) or torch.arange(32.0))
    assert made.model is model and not model.training, "a network in training mode is measured in eval mode"
    with torch.no_grad():
        torch.testing.assert_close(ranked[0], model[:-1](digits.train.images[:70]))
        torch.testing.assert_close(made.responses, model[:-1](digits.validation.images))
        torch.testing.assert_close(made.outputs, model(digits.test.images), rtol=1e-4, atol=1e-4)
    assert torch.equal(made.importance, torch.arange(32.0)) and made.classifier == "15"


def test_at_most_five_thousand_images_are_ranked(digits):
    many = replace(digits, train=Split(digits.train.images.repeat(5, 1, 1, 1), digits.train.labels.repeat(5)))
    sizes = []
    prepared(build("plain", 4), many, lambda responses: sizes.append(len(responses)) or responses[0])
    assert len(many.train.labels) > 5000 and sizes == [5000]
