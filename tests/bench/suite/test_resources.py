import pytest

from bench.suite.cost_estimates import COST_FILE, CostTable
from bench.suite.loading import loaded
from bench.suite.resources import image_side, memory_mb, runtime_minutes, urgencies
from bench.suite.schema import Suite
from tests.bench.suite.test_loading import SMALL

IMAGENET = {
    "suite": "imagenet",
    "title": "ImageNet",
    "datasets": [{"name": "imagenet"}],
    "training": {"default": {"epochs": 90, "batch_size": 256, "learning_rate": 0.1}},
    "finetune": {"epochs": 10},
    "methods": {"nisp": {"criterion": "nisp"}, "finetuned": {"criterion": "nisp", "recovery": "finetune"}},
    "experiments": [
        {
            "name": "all",
            "models": [{"name": "resnet_imagenet", "depth": 50}],
            "seeds": [0],
            "ratios": [0.5],
            "methods": ["nisp", "finetuned"],
        }
    ],
}
DIGITS = {
    **IMAGENET,
    "datasets": [{"name": "digits"}],
    "training": {"default": {"epochs": 12, "batch_size": 64, "learning_rate": 0.1}},
    "experiments": [{**IMAGENET["experiments"][0], "models": [{"name": "lenet"}]}],
}
COSTS = loaded(COST_FILE, CostTable, "cost table")
JOB = ("imagenet", "resnet_imagenet-50", "0")


def test_large_photographs_ask_for_more_than_small_digits():
    large, small = Suite(**IMAGENET), Suite(**DIGITS)
    assert image_side(large, COSTS, "imagenet") == 224 and image_side(small, COSTS, "digits") == 8
    assert memory_mb(large, COSTS, JOB, data_mb=60, attempt=1) == 2000 + 240 + 34455 + 410
    assert memory_mb(small, COSTS, ("digits", "lenet", "0"), data_mb=1, attempt=1) < 2200
    assert runtime_minutes(large, COSTS, JOB, attempt=1) == 10 + 90 * 20
    assert runtime_minutes(small, COSTS, ("digits", "lenet", "0"), attempt=1) < 20


def test_memory_is_the_networks_own_or_a_large_ones_where_it_is_not_known():
    batch = {"training": {"default": {**IMAGENET["training"]["default"]}}}
    lenet, unknown = (
        Suite(**{**DIGITS, **batch, "datasets": [{"name": name}]}) for name in ("digits", "fashion_mnist")
    )
    assert memory_mb(lenet, COSTS, ("digits", "lenet", "0"), 0, 1) == 2000 + 9
    without = COSTS.model_copy(update={"networks": {}, "datasets": {}})
    assert image_side(unknown, without, "fashion_mnist") == 32
    assert memory_mb(unknown, without, ("fashion_mnist", "lenet", "0"), 0, 1) == 2000 + 708


def table(activations, params, side=8):
    content = COSTS.model_dump()
    content["networks"]["lenet@8"] = {"macs": 1.0, "params": params, "activations": activations}
    content["datasets"]["digits"]["side"] = side
    return CostTable(**content)


def test_memory_by_hand():
    """2000 MB, four times the data, 64 images of 2 million numbers of 6 bytes, 3 million weights of 16 bytes."""
    small, job = Suite(**DIGITS), ("digits", "lenet", "0")
    assert memory_mb(small, table(2.0, 3.0), job, data_mb=10, attempt=1) == 2000 + 40 + 768 + 48
    assert memory_mb(small, table(2.0, 3.0), job, data_mb=10.1, attempt=1) == 2857, "40.4 is rounded up"
    assert memory_mb(small, table(2.0, 3.0), job, data_mb=10.1, attempt=3) == 3 * 2857
    assert memory_mb(small, table(2.0, 3.0), (*job, "nisp", "0.5"), data_mb=10, attempt=1) == 2856


def test_an_unknown_network_is_taken_for_one_with_450_numbers_a_pixel():
    without = COSTS.model_copy(update={"networks": {}, "datasets": {}})
    assert image_side(Suite(**IMAGENET), without, "imagenet") == 224
    assert memory_mb(Suite(**IMAGENET), without, JOB, 0, 1) == 2000 + 34682  # 256 * 0.00045 * 224^2 * 6
    assert memory_mb(Suite(**DIGITS), without, ("digits", "lenet", "0"), 0, 1) == 2000 + 177  # 64 * 0.00045 * 32^2 * 6


def test_the_model_that_a_job_names_decides():
    """Of two models, with a recipe for each."""
    models = [{"name": "lenet"}, {"name": "plain", "depth": 4}]
    training = {**DIGITS["training"], "models": {"plain-4": {"batch_size": 1000}}}
    both = Suite(**{**DIGITS, "training": training, "experiments": [{**DIGITS["experiments"][0], "models": models}]})
    assert memory_mb(both, table(2.0, 3.0), ("digits", "lenet", "0"), 0, 1) == 2816
    assert memory_mb(both, COSTS, ("digits", "plain-4", "0"), 0, 1) == 2000 + 58  # 1000 * 0.009546 * 6 + 0.016794 * 16


def test_minutes_by_hand():
    """Ten to start, 20 per epoch of images of 224 pixels a side, 5 of 112; rounded up, then times the attempt."""
    small, job = Suite(**DIGITS), ("digits", "lenet", "0")
    assert runtime_minutes(small, table(1, 1, side=112), job, attempt=1) == 10 + 12 * 5
    assert runtime_minutes(small, table(1, 1, side=56), (*job, "nisp", "0.5"), attempt=1) == 12, "11.25 is rounded up"
    assert runtime_minutes(small, table(1, 1, side=56), (*job, "nisp", "0.5"), attempt=2) == 24


def test_bundled_jobs_take_the_sum_of_their_runs_and_bases():
    grid = {**DIGITS["experiments"][0], "seeds": [0, 1, 2], "ratios": [0.25, 0.5]}
    bundled = Suite(**{**DIGITS, "experiments": [grid], "bundle": ["seed", "method", "ratio"]})
    base, prune = ("digits", "lenet", "all"), ("digits", "lenet", "all", "all", "all")
    assert runtime_minutes(bundled, table(1, 1, side=224), base, 1) == 10 + 3 * 12 * 20
    assert runtime_minutes(bundled, table(1, 1, side=224), prune, 1) == 10 + (12 + 6 * 10) * 20
    assert urgencies(bundled) == {prune: 72, base: 36 + 72}


@pytest.mark.parametrize("methods", [["nisp", "finetuned"], ["finetuned", "nisp"]])
def test_of_several_jobs_that_wait_for_a_base_the_longest_counts(methods):
    found = urgencies(Suite(**{**DIGITS, "experiments": [{**DIGITS["experiments"][0], "methods": methods}]}))
    job = ("digits", "lenet", "0")
    assert found == {job: 12 + 11, (*job, "nisp", "0.5"): 1, (*job, "finetuned", "0.5"): 11}


def test_the_image_size_of_a_suite_counts():
    other = Suite(**{**IMAGENET, "datasets": [{"name": "imagenet", "image_size": 112}]})
    assert runtime_minutes(other, COSTS, JOB, attempt=1) == 10 + 90 * 5


def test_what_is_trained_after_pruning_counts():
    suite = Suite(**IMAGENET)
    without, trained = (
        runtime_minutes(suite, COSTS, (*JOB, method, "0.5"), attempt=1) for method in ("nisp", "finetuned")
    )
    assert (without, trained) == (10 + 20, 10 + 11 * 20)


def test_each_attempt_asks_for_more():
    suite = Suite(**IMAGENET)
    assert memory_mb(suite, COSTS, JOB, 0, 2) == 2 * memory_mb(suite, COSTS, JOB, 0, 1)
    assert runtime_minutes(suite, COSTS, JOB, 3) == 3 * runtime_minutes(suite, COSTS, JOB, 1)


def test_the_longest_chain_is_the_most_urgent():
    models = [{"name": "lenet"}, {"name": "plain", "depth": 4}]
    some = {**DIGITS["experiments"][0], "models": models[1:], "methods": ["nisp"]}
    both = {**some, "models": models[:1], "methods": ["nisp", "finetuned"], "name": "both"}
    suite = Suite(**{**DIGITS, "experiments": [some, both], "bundle": ["method"]})
    found = urgencies(suite)
    assert set(found) == {*suite.base_jobs, *suite.prune_jobs}
    assert found["digits", "plain-4", "0", "all", "0.5"] == 1
    assert found["digits", "lenet", "0", "all", "0.5"] == 2 + 10
    assert found["digits", "plain-4", "0"] == 12 + 1
    assert found["digits", "lenet", "0"] == 12 + 12


def test_an_option_of_a_data_set_that_is_not_a_size_says_nothing_about_its_size(monkeypatch):
    without = CostTable(**{**COSTS.model_dump(), "datasets": {}})
    suite = Suite(**SMALL)
    monkeypatch.setattr("bench.suite.plugins.data_options", lambda name: {"crop": "bool"})
    assert image_side(suite, without, "digits") == 32
