from bench.suite.cost_estimates import COST_FILE, CostTable
from bench.suite.loading import loaded
from bench.suite.resources import image_side, memory_mb, runtime_minutes, urgencies
from bench.suite.schema import Suite

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
