"""GPU hours by hand: 1000 images cost 3 * 2 million MACs each, at 10^9 a second an epoch takes 6 seconds.

Its 20 steps take 2 seconds at least, which is more than a network with a quarter of the MACs computes (1.5).
"""

import pytest

from bench.estimate import CostTable, as_sentence, epochs_of_trainings, estimated, macs_left
from bench.specs import DatasetSpec, ModelSpec
from bench.suite import Suite

COSTS = CostTable(
    device={"tera_macs_per_second": 0.001, "seconds_per_step": 0.1},
    datasets={"digits": {"images": 1000, "side": 8}, "imagenet": {"images": 10, "side": 224}},
    networks={"lenet@8": {"macs": 2.0, "params": 0.5, "activations": 0.1}},
)


def suite(recoveries, plans=("uniform",), ratios=(0.5,), seeds=(0,), model="lenet", epochs=10, **training):
    return Suite(
        suite="t",
        title="T",
        datasets=[{"name": "digits"}],
        training={"default": {"epochs": epochs, "batch_size": 50, "learning_rate": 0.1, **training}},
        finetune={"epochs": 4, "tuned_factors": [0.1, 0.2, 0.3]},
        methods={name: {"criterion": "nisp", "recovery": name} for name in recoveries},
        plans={"macs": {"budget": "macs"}, "layers": {"layers": {"*": 0.5}}},
        experiments=[
            {"name": "e", "models": [{"name": model}], "seeds": seeds, "ratios": ratios, "plans": plans,
             "methods": recoveries}
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("recovery", "epochs"),
    [
        ("none", []),
        ("recalibrate", []),
        ("finetune", [4]),
        ("finetune_tuned", [4, 4, 4]),
        ("scratch_paper", [4]),
        ("scratch_e", [10]),
        ("scratch_b", [20]),  # a quarter of the MACs would allow 40, but at most twice the base's are allowed
        ("scratch_total", [24]),
    ],
)
def test_the_trainings_of_a_run_and_the_hours_they_take(recovery, epochs):
    """The base takes 10 epochs of 6 seconds; each of a pruned network's takes the 2 seconds of its steps."""
    one = suite([recovery])
    assert epochs_of_trainings(one, one.runs[0], 0.25) == epochs
    found = estimated(one, COSTS)
    assert found.hours == pytest.approx((10 * 6 + sum(epochs) * 2) / 3600)
    assert (found.trainings, found.unknown) == (1 + len(epochs), ())


@pytest.mark.parametrize(
    ("plan", "ratio", "left", "seconds"),
    [
        ("uniform", 0.5, 0.25, 2.0),
        ("uniform", 0.25, 0.5625, 3.375),
        ("macs", 0.25, 0.75, 4.5),
        ("layers", 0.25, 1.0, 6.0),
    ],
)
def test_what_a_plan_leaves_and_an_epoch_of_it(plan, ratio, left, seconds):
    one = suite(["scratch_b"], [plan], [ratio])
    assert macs_left(one, one.runs[0]) == left
    epochs = 10 * min(1 / left, 2)
    assert epochs_of_trainings(one, one.runs[0], left) == [pytest.approx(epochs)]
    assert estimated(one, COSTS).hours == pytest.approx((60 + epochs * seconds) / 3600)


def test_a_base_is_trained_once_for_each_seed_and_not_where_weights_are_loaded():
    many = suite(["none", "recalibrate", "finetune"], ratios=[0.25, 0.5], seeds=[0, 1, 2])
    assert estimated(many, COSTS).trainings == 3 + 3 * 2
    loaded = estimated(suite(["finetune"], weights="somewhere"), COSTS)
    assert (loaded.trainings, loaded.hours) == (1, pytest.approx(4 * 2 / 3600))


def test_what_is_not_in_the_table_is_named_once_and_not_counted():
    unknown = estimated(suite(["finetune"], model="cifarnet", seeds=[0, 1]), COSTS)
    assert (unknown.hours, unknown.trainings, unknown.unknown) == (0, 4, ("cifarnet on digits",))
    elsewhere = COSTS.model_copy(update={"datasets": {}})
    assert estimated(suite(["none"]), elsewhere).unknown == ("lenet on digits",)
    content = suite(["none"]).model_dump(by_alias=True) | {"datasets": [{"name": "imagenet", "image_size": 8}]}
    assert estimated(Suite(**content), elsewhere).unknown == ("lenet on imagenet",)


def test_a_network_is_looked_up_at_the_side_that_the_suite_asks_for():
    spec = ModelSpec(name="lenet")
    assert COSTS.side(DatasetSpec(name="imagenet", image_size=112)) == 112
    assert COSTS.side(DatasetSpec(name="imagenet")) == 224 and COSTS.side(DatasetSpec(name="mnist")) is None
    assert COSTS.network(spec, DatasetSpec(name="digits")).macs == 2.0
    assert COSTS.network(spec, DatasetSpec(name="mnist")) is None


@pytest.mark.parametrize(("epochs", "hours"), [(600, "1.0"), (5994, "10.0"), (6000, "10"), (1_200_000, "2,000")])
def test_the_sentence_of_a_plan(epochs, hours):
    """Ten hours and more without decimals."""
    one = suite(["none"], ratios=[0.25, 0.5], epochs=epochs)
    assert as_sentence(one, estimated(one, COSTS)) == (
        f"suite t: 2 runs in 2 jobs, 1 trainings, about {hours} GPU hours (an estimate from "
        "config/costs.yaml: training alone, one assumed GPU)"
    )


def test_the_sentence_names_what_is_not_counted():
    one = suite(["none"], model="cifarnet")
    assert as_sentence(one, estimated(one, COSTS)).endswith("one assumed GPU); not counted: cifarnet on digits")
