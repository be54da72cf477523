"""Every setting that can change a number changes the digest of what it decides, and no other setting does."""

import copy

import pytest

from bench.suite.experiments import Experiment
from bench.suite.recipes import Finetuning, Training
from bench.suite.schema import Suite
from bench.suite.specs import DatasetSpec, MethodSpec, ModelSpec, PlanSpec, RankingSpec

CONTENT = {
    "suite": "small",
    "title": "Small",
    "datasets": [{"name": "imagenet", "image_size": 64}],
    "training": {"default": {"epochs": 2, "batch_size": 64, "learning_rate": 0.1}},
    "finetune": {"epochs": 3},
    "calibration_images": 100,
    "methods": {"mine": {"criterion": "nisp", "recovery": "finetune", "steps": 2}},
    "plans": {"flat": {"budget": "macs"}, "by_scores": {"budget": "macs", "allocation": "scores"}},
    "experiments": [
        {
            "name": "one", "models": [{"name": "plain", "depth": 4}], "seeds": [0], "ratios": [0.5],
            "methods": ["mine"], "plans": ["flat"],
        }
    ],
}  # fmt: skip
ONE = ("experiments", 0)
RUN_FIELDS = {
    MethodSpec: (("methods", "mine"), {
        "criterion": "magnitude", "options": {"alpha": 0.4}, "reconstruction": "least_squares",
        "recovery": "finetune_tuned", "steps": 3, "rescore": False,
    }),
    PlanSpec: (("plans", "flat"), {
        "layers": {"*": 0.5}, "budget": "channels", "allocation": "magnitude", "floor": 0.2, "rounding": "down",
    }),
    Finetuning: (("finetune",), {"epochs": 4, "learning_rate_factor": 0.2, "tuned_factors": [0.1]}),
    RankingSpec: (("frl_ranking",), {"name": "uniform", "options": {"alpha": 0.4}}),
}  # fmt: skip
BASE_FIELDS = {
    Training: (("training", "default"), {
        "epochs": 5, "batch_size": 32, "learning_rate": 0.2, "momentum": 0.8, "weight_decay": 1e-3,
        "schedule": "step", "augment": ["flip"], "precision": "bf16", "weights": "w.pt", "weights_sha256": "0" * 64,
    }),
    ModelSpec: ((*ONE, "models", 0), {"name": "resnet", "depth": 6}),
    DatasetSpec: (("datasets", 0), {
        "name": "cifar10", "split_seed": 1, "image_size": 96, "options": {"image_size": 128},
    }),
}  # fmt: skip
NOTED_ONLY = {Training: {"source"}}
"""Fields of these that decide nothing."""
SUITE_FIELDS = {"calibration_images": 50, "scratch_b_limit": 3.0}


def changed(where, field, value):
    content = copy.deepcopy(CONTENT)
    node = content
    for part in where:
        node = node.setdefault(part, {"name": "inf_fs"}) if isinstance(node, dict) else node[part]
    node[field] = value
    if (field, value) == ("rescore", False):
        node["steps"] = 2
    if field in ("name", "depth") or (where[0], field) == ("datasets", "options"):
        _consistent(node, field)
    if field == "budget":
        node["allocation"] = "uniform"
    return Suite(**content)


def _consistent(node, field):
    """A model of another family has other depths, and a data set of images of one size has no image_size."""
    if node.get("name") == "resnet":
        node["depth"] = 8
    elif field == "depth":
        node["depth"] = 6
    if node.get("name") == "cifar10" or "options" in node:
        node.pop("image_size", None)


def digest_of(suite):
    return suite.run_digest(suite.runs[0])


def base_digest_of(suite):
    run = suite.runs[0]
    return suite.base_digest(run.dataset, run.model, run.seed)


def cases(fields):
    return [(where, field, value) for where, values in fields.values() for field, value in values.items()]


@pytest.mark.parametrize(("where", "field", "value"), cases(RUN_FIELDS))
def test_a_setting_of_a_run_changes_its_digest_and_leaves_the_base_network(where, field, value):
    before, after = Suite(**CONTENT), changed(where, field, value)
    assert digest_of(after) != digest_of(before)
    assert base_digest_of(after) == base_digest_of(before)


@pytest.mark.parametrize(("where", "field", "value"), cases(BASE_FIELDS))
def test_a_setting_of_a_base_network_changes_its_digest_and_that_of_its_runs(where, field, value):
    before, after = Suite(**CONTENT), changed(where, field, value)
    assert base_digest_of(after) != base_digest_of(before)
    assert digest_of(after) != digest_of(before)


@pytest.mark.parametrize("field", SUITE_FIELDS)
def test_a_setting_of_the_whole_suite_changes_the_digest_of_its_runs(field):
    assert digest_of(Suite(**{**CONTENT, field: SUITE_FIELDS[field]})) != digest_of(Suite(**CONTENT))


@pytest.mark.parametrize("field", ["split_seed", "image_size", "options"])
def test_a_setting_of_the_data_changes_the_digest_of_the_splits(field):
    where, values = BASE_FIELDS[DatasetSpec]
    after, before = changed(where, field, values[field]), Suite(**CONTENT)
    assert after.data_digest("imagenet") != before.data_digest("imagenet")


def test_seed_and_ratio_are_in_the_digest():
    before = Suite(**CONTENT)
    assert base_digest_of(changed(ONE, "seeds", [1])) != base_digest_of(before)
    assert digest_of(changed(ONE, "seeds", [1])) != digest_of(before)
    other_ratio = changed(ONE, "ratios", [0.25])
    assert digest_of(other_ratio) != digest_of(before)
    assert base_digest_of(other_ratio) == base_digest_of(before)


def test_every_field_of_what_decides_a_number_is_tried():
    for spec, (_, values) in {**RUN_FIELDS, **BASE_FIELDS}.items():
        assert values.keys() | NOTED_ONLY.get(spec, set()) == spec.model_fields.keys(), spec
    elsewhere = {"datasets", "training", "finetune", "frl_ranking", "named_methods", "named_plans", "experiments"}
    shown_only = {"suite", "title", "description", "questions"}
    other_jobs = {"bundle", "large_batch"}
    assert SUITE_FIELDS.keys() | elsewhere | shown_only | other_jobs == Suite.model_fields.keys()
    placed = {"name", "datasets", "named", "compositions", "plans"}
    assert {"models", "seeds", "ratios"} | placed == Experiment.model_fields.keys()


@pytest.mark.parametrize(
    "harmless",
    [
        {"title": "Other"},
        {"description": "Other"},
        {"bundle": ["seed"]},
        {"large_batch": 64},
        {"training": {"default": {**CONTENT["training"]["default"], "source": "a book"}}},
        {"methods": {**CONTENT["methods"], "another": {"criterion": "random"}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_decides_no_number_changes_no_digest(harmless):
    assert digest_of(Suite(**{**CONTENT, **harmless})) == digest_of(Suite(**CONTENT))


def test_the_order_of_patterns_counts_for_a_later_one_overrides_an_earlier_one():
    plans = [{"*": 0.5, "0": 1.0}, {"0": 1.0, "*": 0.5}]
    first, second = (changed(("plans", "flat"), "layers", layers) for layers in plans)
    assert digest_of(first) != digest_of(second)
    assert first.latency_digest != second.latency_digest


def test_the_order_of_options_does_not_count():
    options = [{"alpha": 0.4, "joint": False}, {"joint": False, "alpha": 0.4}]
    first, second = (changed(("methods", "mine"), "options", given) for given in options)
    assert digest_of(first) == digest_of(second)


def test_latency_depends_on_shapes_image_size_and_batch():
    before = Suite(**CONTENT).latency_digest
    assert changed(("plans", "flat"), "rounding", "down").latency_digest != before
    assert changed(("datasets", 0), "image_size", 96).latency_digest != before
    assert Suite(**{**CONTENT, "large_batch": 64}).latency_digest != before
    assert changed(ONE, "ratios", [0.25]).latency_digest != before
    assert changed(("finetune",), "epochs", 4).latency_digest == before, "weights are random"


def test_latency_of_shapes_that_scores_decide_depends_on_all_that_decides_these():
    def latency(alpha):
        content = copy.deepcopy(CONTENT)
        content["experiments"][0]["plans"] = ["by_scores"]
        content["methods"]["mine"]["options"] = {"alpha": alpha}
        return Suite(**content).latency_digest

    assert latency(0.4) != latency(0.5)
