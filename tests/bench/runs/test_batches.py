"""What a suite says becomes recipes, protocols, methods and cuts, and no setting is lost on the way."""

from dataclasses import asdict, fields

import pytest
import torch

import baselines.fpgm
import baselines.magnitude
from bench.data import Dataset, Split
from bench.runs import bases
from bench.runs.bases import recipe, untrained
from bench.runs.batches import method, protocol, target
from bench.suite.recipes import Training
from bench.suite.schema import Suite
from bench.suite.specs import ModelSpec, PlanSpec
from bench.training.devices import device
from bench.training.loop import Recipe
from tests.bench.suite.test_loading import SMALL
from tests.bench.training.test_loop import weights

LENET, PLAIN = ModelSpec(name="lenet"), ModelSpec(name="plain", depth=4)
METHODS = {
    "one": {"criterion": "magnitude"},
    "two": {"criterion": "nisp", "options": {"alpha": 0.25}, "reconstruction": "least_squares",
            "recovery": "finetune", "steps": 2, "rescore": False},
}  # fmt: skip
EXPERIMENT = {"name": "e", "models": [LENET, PLAIN], "seeds": [1, 2], "ratios": [0.5], "methods": ["one"]}


def suite(**changes):
    experiment = EXPERIMENT | changes.pop("experiment", {})
    training = {"default": {"epochs": 1, "batch_size": 64, "learning_rate": 0.1} | changes.pop("training", {})}
    settings = {"methods": METHODS, "questions": [], "experiments": [experiment], "training": training}
    return Suite(**SMALL | settings | {"finetune": {"epochs": 2}, "calibration_images": 50} | changes)


RECIPE = {
    "epochs": 7, "batch_size": 33, "learning_rate": 0.03, "momentum": 0.5, "weight_decay": 0.02, "schedule": "step",
    "augment": ("flip", "crop"), "precision": "bf16",
}  # fmt: skip


@pytest.mark.parametrize("field", fields(Recipe), ids=lambda field: field.name)
def test_a_recipe_has_every_setting_of_the_suites_training(field):
    default, changed = (recipe(suite(training=training), PLAIN) for training in ({}, {field.name: RECIPE[field.name]}))
    assert getattr(default, field.name) != getattr(changed, field.name) == RECIPE[field.name]
    same = [other.name for other in fields(Recipe) if getattr(default, other.name) == getattr(changed, other.name)]
    assert len(same) == len(fields(Recipe)) - 1


@pytest.mark.parametrize("meant", ["bf16", "fp32"])
def test_automatic_precision_is_decided_on_the_device_of_the_job(monkeypatch, meant):
    monkeypatch.setattr(bases, "resolved", lambda precision, on: {"auto": meant}[precision] if on == device() else None)
    whole = suite(training={"precision": "auto"})
    assert recipe(whole, PLAIN).precision == protocol(whole, PLAIN).base.precision == meant


def test_no_setting_of_training_is_lost():
    assert Training.model_fields.keys() - {field.name for field in fields(Recipe)} == {
        "weights", "weights_sha256", "source",
    }  # fmt: skip


def test_a_model_has_its_own_recipe_and_fine_tuning():
    """By its family, then by its label, which overrides."""
    default = {"epochs": 1, "batch_size": 64, "learning_rate": 0.1}
    training = {"default": default, "models": {"plain": {"epochs": 5, "momentum": 0.1}, "plain-4": {"epochs": 6}}}
    whole = Suite(
        **SMALL | {"methods": METHODS, "questions": [], "experiments": [EXPERIMENT], "training": training}
        | {"finetune": {"epochs": 2, "models": {"lenet": {"epochs": 9, "learning_rate_factor": 0.3}}}}
    )  # fmt: skip
    assert (recipe(whole, PLAIN).epochs, recipe(whole, PLAIN).momentum) == (6, 0.1)
    assert (recipe(whole, LENET).epochs, recipe(whole, LENET).momentum) == (1, 0.9)
    assert [protocol(whole, model).finetune_epochs for model in (LENET, PLAIN)] == [9, 2]
    assert [protocol(whole, model).learning_rate_factor for model in (LENET, PLAIN)] == [0.3, 0.1]
    assert protocol(whole, PLAIN).base == recipe(whole, PLAIN)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"training": {"momentum": 0.3}}, "base", Recipe(1, 64, 0.1, 0.3, 5e-4, "cosine")),
        ({"finetune": {"epochs": 11}}, "finetune_epochs", 11),
        ({"finetune": {"epochs": 2, "learning_rate_factor": 0.7}}, "learning_rate_factor", 0.7),
        ({"finetune": {"epochs": 2, "tuned_factors": [0.2, 0.4]}}, "tuned_factors", (0.2, 0.4)),
        ({"calibration_images": 77}, "calibration_images", 77),
        ({"scratch_b_limit": 1.5}, "scratch_b_limit", 1.5),
    ],
)
def test_a_protocol_has_every_setting_that_methods_share(changes, field, value):
    default, changed = asdict(protocol(suite(), PLAIN)), asdict(protocol(suite(**changes), PLAIN))
    expected = asdict(value) if isinstance(value, Recipe) else value
    assert changed == default | {field: expected} and default[field] != expected


def test_a_method_has_every_field_of_its_spec():
    one, two = (method(suite(), label) for label in METHODS)
    assert one.criterion is baselines.magnitude.score and one.options == {}
    assert (one.reconstruction, one.recovery, one.steps, one.rescore) == ("none", "none", 1, True)
    assert two.criterion.__module__ == "nisp.criteria.nisp" and two.options == {"alpha": 0.25}
    assert (two.reconstruction, two.recovery, two.steps, two.rescore) == ("least_squares", "finetune", 2, False)


@pytest.mark.parametrize(
    ("allocation", "sensitivity"),
    [("uniform", None), ("scores", None), ("magnitude", baselines.magnitude.score), ("fpgm", baselines.fpgm.score)],
)
def test_a_cut_has_its_plan_and_ratio_and_the_criterion_that_allocates(allocation, sensitivity):
    plan = {"budget": "macs", "allocation": allocation, "floor": 0.2}
    whole = suite(plans={"mine": plan}, experiment={"plans": ["mine"], "ratios": [0.25]})
    made = target(whole, whole.runs[0])
    assert (made.plan, made.ratio) == (PlanSpec(**plan), 0.25) and made.sensitivity is sensitivity


@pytest.mark.parametrize("model", [LENET, PLAIN, ModelSpec(name="plain", depth=6)], ids=lambda model: model.label)
def test_an_untrained_network_has_the_weights_of_its_seed_and_the_shape_of_the_data(model):
    images = torch.zeros(2, 3, 12, 12)
    data = Dataset("x", *[Split(images, torch.zeros(2).long())] * 3, classes=7)
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, again, other = (untrained(model, data, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert first(images).shape == (2, 7)
    assert sum(isinstance(layer, torch.nn.Conv2d) for layer in first.modules()) == (model.depth or 2)
    assert torch.equal(weights(first), weights(again)) and not torch.equal(weights(first), weights(other))
