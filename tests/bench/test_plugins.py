from pathlib import Path

import pytest

from bench import plugins

ROOT = Path(__file__).parents[2]


def names(file):
    return {str(source.relative_to(ROOT)) for source in plugins.sources_of(ROOT / file)}


def test_what_training_and_pruning_depend_on_is_followed_through_imports():
    assert {"bench/training.py", "bench/augment.py", "bench/schedule.py", "bench/measure.py"} <= names(
        "bench/training.py"
    )
    assert "bench/surgery.py" not in names("bench/training.py")
    assert {"bench/surgery.py", "bench/channels/rules/layers.py", "bench/patches.py"} <= names("bench/experiment.py")
    assert {"nisp/inf_fs.py", "nisp/absolute.py"} <= names("nisp/criteria/nisp.py")
    assert "baselines/_greedy.py" in names("baselines/thinet.py")
    assert "bench/data/_idx.py" in names("bench/data/mnist.py")
    assert "bench/data/_cifar.py" in names("bench/data/cifar10.py"), "imports in functions count"
    assert "bench/errors.py" not in names("nisp/criteria/nisp.py")


def test_nothing_that_decides_a_number_imports_what_only_reports():
    for criterion in plugins.available(plugins.CRITERIA).values():
        for source in plugins.sources_of(criterion) | plugins.sources_of(ROOT / "bench/experiment.py"):
            assert not source.name.startswith(("report", "verdicts", "tables", "statistics"))


@pytest.mark.parametrize("neutral", sorted(plugins.NEUTRAL))
def test_neutral_files_exist(neutral):
    assert (ROOT / neutral).is_file()


def test_plugins_are_found_by_file_name_and_load():
    assert {"nisp", "nisp_uniform", "random", "magnitude", "thinet"} <= plugins.available(plugins.CRITERIA).keys()
    assert not any(name.startswith("_") for name in plugins.available(plugins.CRITERIA))
    for name in plugins.available(plugins.CRITERIA):
        assert callable(plugins.load(plugins.CRITERIA, name).score)


def test_options_and_depths_are_read_from_the_source():
    assert plugins.options("nisp") == {"alpha": "float", "variant": "str", "joint": "bool"}
    assert plugins.options("random") == {}
    assert plugins.data_options("imagenet") == {"image_size": "int"} and plugins.data_options("digits") == {}
    assert plugins.depths("plain") == (4, 6, 8, 10, 14) and plugins.depths("lenet") == ()
