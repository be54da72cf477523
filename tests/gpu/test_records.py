"""Runs on a pretended GPU have the records of runs on the CPU up to rounding: no tensor meets one of another device."""

from dataclasses import replace

import pytest
import torch

from bench.data import Split
from bench.runs import size
from bench.runs.base_network import prepared
from bench.runs.experiment import run
from bench.runs.setup import Method, Protocol, Target
from bench.suite import plugins
from bench.suite.specs import PlanSpec
from bench.training.loop import Recipe, train
from nisp import inf_fs
from tests.conftest import build
from tests.gpu.pretended import pretended

RECIPE = Recipe(1, 64, 0.1, 0.9, 5e-4, "cosine", ("shift", "flip"))
PROTOCOL = Protocol(RECIPE, 1, 0.1, (0.01, 0.1), 32, 2.0)
OPTIONS = {"obd_c": {"images": 2}, "chip": {"images": 2}, "hrank": {"images": 4}}
RECOVERIES = ("recalibrate", "finetune", "finetune_tuned", "scratch_paper", "scratch_b")
PLANS = {
    "ratios": PlanSpec(),
    "macs": PlanSpec(budget="macs"),
    "scores": PlanSpec(budget="macs", allocation="scores"),
}


def criterion(name):
    return plugins.load(plugins.CRITERIA, name).score


@pytest.fixture
def without_double_counts(monkeypatch):
    """ptflops replaces torch's functions, which calls of these from within a mode would count twice."""
    counted = size.get_model_complexity_info

    def plainly(*args, **kwargs):
        with torch._C.DisableTorchFunction():
            return counted(*args, **kwargs)

    monkeypatch.setattr(size, "get_model_complexity_info", plainly)


def records(digits, device, methods):
    """The measured columns of runs on ``device``, by what was run."""

    def few(split, count):
        return Split(split.images[:count], split.labels[:count])

    data = replace(
        digits, train=few(digits.train, 128), validation=few(digits.validation, 32), test=few(digits.test, 64)
    ).to(torch.device(device))
    torch.manual_seed(0)
    net = build("resnet", 8).to(device)
    train(net, data, RECIPE, 0)
    base = prepared(net, data, inf_fs)
    found = {}
    for label, method, plan in methods:
        result = run(base, method, PROTOCOL, Target(plan, 0.5), 0)
        row = {key: value for key, value in result.row.items() if key not in ("score_seconds", "macs_counter")}
        losses = [epoch.test_loss for epoch in result.curve]
        found[label] = row, losses, result.keep, [refit.error for refit in result.refits]
    return found


def methods():
    """Every criterion, recovery, plan and reconstruction: each at least once."""
    for index, name in enumerate(sorted(plugins.available(plugins.CRITERIA))):
        reconstruction = {0: "least_squares", 1: "mean"}.get(index % 5, "none")
        yield name, Method(criterion(name), OPTIONS.get(name, {}), reconstruction, "none"), PLANS["ratios"]
    for recovery in RECOVERIES:
        yield recovery, Method(criterion("magnitude"), {}, "none", recovery), PLANS["ratios"]
    for label, plan in PLANS.items():
        yield label, Method(criterion("nisp"), {}, "none", "none", steps=2), plan


def test_records_are_those_of_the_cpu(digits, without_double_counts):
    expected = records(digits, "cpu", methods())
    with pretended():
        found = records(digits, "cuda", methods())
    assert found.keys() == expected.keys()
    for label, (row, losses, keep, errors) in expected.items():
        measured, others, kept, left = found[label]
        assert kept == keep, label
        assert others == pytest.approx(losses, rel=1e-3) and left == pytest.approx(errors, rel=1e-3), label
        assert measured.pop("removal_error") < 1e-12 > row.pop("removal_error"), label
        assert measured == pytest.approx(row, rel=1e-3, nan_ok=True), label
