"""Every measured column of runs.csv, against a measurement of the returned network, or of the base, by other means."""

import copy
import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

import baselines.magnitude
import baselines.random
from bench.runs import stages
from bench.runs.base_network import prepared
from bench.runs.experiment import run
from bench.runs.setup import Target
from bench.runs.size import size_of
from bench.suite.specs import PlanSpec
from bench.training.streams import stream
from nisp import inf_fs
from tests.bench.runs.test_experiment import HALF, PROTOCOL, method, trained_base

SEED = 3
RECOVERIES = ("none", "recalibrate", "finetune", "finetune_tuned", "scratch_e")


@pytest.fixture(scope="module")
def base(digits):
    return trained_base(digits)


def result_of(base, recovery, score=baselines.magnitude.score, **options):
    return run(base, method(recovery, score, **options), PROTOCOL, HALF, SEED)


@pytest.fixture(scope="module")
def results(base):
    return {recovery: result_of(base, recovery) for recovery in RECOVERIES}


def outputs(model, images):
    with torch.no_grad():
        return copy.deepcopy(model).eval()(images)


def top1(outputs, labels):
    return pytest.approx(100 * sum(a == b for a, b in zip(outputs.argmax(1), labels, strict=True)).item() / len(labels))


def among_five(outputs, chosen):
    """Per cent of rows in which fewer than five outputs are larger than the chosen one's."""
    larger = (outputs > outputs[torch.arange(len(outputs)), chosen][:, None]).sum(1)
    return pytest.approx(100 * (larger < 5).double().mean().item())


def masked(base, recalibrated=None):
    """The base network with every channel at 0 that is not of the larger half of filters, by hooks; nothing is cut."""
    model = copy.deepcopy(base.model)
    layers = list(model)
    for conv, relu in ((c, r) for c, r in zip(layers, layers[2:], strict=False) if isinstance(c, torch.nn.Conv2d)):
        sizes = conv.weight.detach().abs().sum((1, 2, 3))
        mask = (sizes > sizes.median()).float()[:, None, None]  # torch's median is the lower of the middle two
        relu.register_forward_hook(lambda _, __, output, mask=mask: output * mask)
    if recalibrated is not None:
        norms = [layer for layer in layers if isinstance(layer, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.train().momentum = 1.0
        with torch.no_grad():
            model(recalibrated)
    return model.eval()


def test_columns_of_the_base_are_measured_of_the_base(base, results):
    test = base.dataset.test
    of_base = outputs(base.model, test.images)
    for result in results.values():
        row = result.row
        assert row["top1_base"] == top1(of_base, test.labels)
        assert row["top5_base"] == among_five(of_base, test.labels)
        assert row["params_base"] == sum(parameter.numel() for parameter in base.model.parameters())
        assert row["macs_base"] == size_of(base.model, test.images[:1]).macs
    assert next(iter(base.model)).weight.shape[0] == 16, "the base network is left whole"


def test_final_columns_are_those_of_the_network_that_is_returned(base, results):
    test, validation = base.dataset.test, base.dataset.validation
    of_base = outputs(base.model, test.images)
    for recovery, result in results.items():
        row, final = result.row, outputs(result.model, test.images)
        assert row["top1_final"] == top1(final, test.labels), recovery
        assert row["top5_final"] == among_five(final, test.labels)
        assert row["agreement_top1"] == top1(final, of_base.argmax(1))
        assert row["agreement_top5"] == among_five(of_base, final.argmax(1))
        assert row["val_top1_final"] == top1(outputs(result.model, validation.images), validation.labels)
        assert not result.model.training
        if result.curve:
            assert result.curve[-1].test_top1 == row["top1_final"]
    assert len({result.row["agreement_top5"] for result in results.values()}) > 1


def test_size_is_that_of_the_network_that_is_returned(base, results):
    """Half of 16, 16, 32 and 32 channels. ptflops counts ReLU and pooling twice: as layers and as functions."""
    widths, sides = [1, 8, 8, 16, 16], [8, 8, 4, 4]
    params = sum(9 * a * b + 2 * b for a, b in pairwise(widths)) + 16 * 10 + 10
    macs = 16 * 10 + 10 + 2 * (8 * 64 + 16 * 16)  # the classifier, and what the max pool and the mean pool read
    for read, written, side in zip(widths, widths[1:], sides, strict=False):
        macs += side**2 * (9 * read * written + 2 * written + 2 * written)  # convolution, batch norm, ReLU
    for result in results.values():
        assert result.keep == {"0": 8, "3": 8, "7": 16, "10": 16}
        assert sum(parameter.numel() for parameter in result.model.parameters()) == params
        assert (result.row["params"], result.row["macs"]) == (params, macs)


def test_pruned_is_before_and_recalibrated_after_new_statistics_whatever_the_recovery(base, results):
    test = base.dataset.test
    bare = outputs(masked(base), test.images)
    images = base.dataset.calibration(PROTOCOL.calibration_images, stream(SEED, "calibration")).images
    recalibrated = outputs(masked(base, images), test.images)
    for result in results.values():
        assert result.row["top1_pruned"] == top1(bare, test.labels)
        assert result.row["top1_recalibrated"] == top1(recalibrated, test.labels)
    assert len({results["recalibrate"].row[f"top1_{name}"] for name in ("base", "pruned", "recalibrated")}) == 3
    torch.testing.assert_close(outputs(results["none"].model, test.images), bare, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outputs(results["recalibrate"].model, test.images), recalibrated, rtol=1e-3, atol=1e-3)


def kept_inputs(base, model):
    """Which columns of the base's classifier a pruned network, whose classifier was not trained, has left."""
    whole, left = (net.get_submodule(base.classifier).weight for net in (base.model, model))
    columns = [[i for i, old in enumerate(whole.T) if torch.equal(old, new)] for new in left.T]
    return [column for [column] in columns]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_ware_is_over_kept_responses_after_recalibration_weighed_by_their_importance(base, steps):
    result = result_of(base, "recalibrate", steps=steps)
    images, units = base.dataset.validation.images, kept_inputs(base, result.model)
    with torch.no_grad():
        whole, left = (net[:-1](images).double() for net in (base.model, result.model))
    error = scale = 0.0
    for unit, new in zip(units, left.T, strict=True):
        old, weight = whole[:, unit], base.importance[unit].item()
        error += weight * (new - old).abs().sum().item()
        scale += weight * old.abs().sum().item()
    assert result.row["ware"] == pytest.approx(error / scale, rel=1e-4)


def test_ware_does_not_depend_on_the_recovery(results):
    assert len({result.row["ware"] for result in results.values()}) == 1


def test_the_learning_rate_factor_is_what_the_base_learning_rate_was_multiplied_by(results):
    factors = [results[recovery].row["learning_rate_factor"] for recovery in RECOVERIES]
    assert all(map(math.isnan, factors[:2])) and factors[2:] == pytest.approx([0.1, 0.1, 1.0])
    rates = [results[recovery].curve[0].learning_rate for recovery in RECOVERIES[2:]]
    assert rates == pytest.approx([PROTOCOL.base.learning_rate * factor for factor in factors[2:]])


@pytest.mark.parametrize(("options", "seconds"), [({}, 1), ({"steps": 3}, 7), ({"steps": 3, "rescore": False}, 1)])
def test_score_seconds_are_those_of_all_scoring_and_of_nothing_else(base, monkeypatch, options, seconds):
    """By a clock that only scoring moves: by 1, 2 and 4 seconds. Allocation, too, scores, and is not counted."""
    clock, calls = [100.0], []

    def slow(problem):
        calls.append(problem)
        clock[0] += 2.0 ** (len(calls) - 1)
        return baselines.random.score(problem)

    def allocating(problem):
        clock[0] += 1000
        return baselines.magnitude.score(problem)

    monkeypatch.setattr(stages, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    target = Target(PlanSpec(budget="macs", allocation="magnitude"), 0.5, allocating)
    assert run(base, method(score=slow, **options), PROTOCOL, target, SEED).row["score_seconds"] == seconds
    assert clock[0] == 1100 + seconds


def test_the_removal_error_is_the_worst_of_all_steps(base, monkeypatch):
    errors, images = iter([2e-9, 5e-9, 3e-9]), []

    def preset(model, pruned, structure, kept, some):
        images.append(some)
        return next(errors)

    monkeypatch.setattr(stages, "removal_error", preset)
    result = result_of(base, "recalibrate", steps=3)
    assert result.row["removal_error"] == 5e-9
    expected = base.dataset.calibration(PROTOCOL.calibration_images, stream(SEED, "calibration")).images[:4]
    assert len(images) == 3 and all(torch.equal(some, expected) for some in images)


def test_a_cut_that_removes_something_else_shows_in_the_removal_error(base, monkeypatch):
    right = stages.remove_channels

    def wrong(model, structure, kept):
        pruned = right(model, structure, kept)
        with torch.no_grad():
            pruned[0].weight[0] *= 1.01
        return pruned

    assert result_of(base, "none").row["removal_error"] < 1e-12
    monkeypatch.setattr(stages, "remove_channels", wrong)
    assert result_of(base, "none").row["removal_error"] > 1e-6


def test_a_network_of_five_classes_has_no_top5(base, digits):
    few = {
        part: type(split)(split.images[split.labels < 5], split.labels[split.labels < 5])
        for part in ("train", "validation", "test")
        if (split := getattr(digits, part))
    }
    model = copy.deepcopy(base.model)
    model[-1] = torch.nn.Linear(32, 5)
    row = result_of(prepared(model, replace(digits, **few, classes=5), inf_fs), "recalibrate").row
    assert all(math.isnan(row[column]) for column in ("top5_base", "top5_final", "agreement_top5"))
    assert not math.isnan(row["agreement_top1"])
