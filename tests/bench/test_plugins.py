import ast
from pathlib import Path

import pytest

from bench import plugins
from bench.suite import PRUNING_CODE, TRAINING_CODE

ROOT = Path(__file__).parents[2]
DECIDES_NO_NUMBER = {"bench/__init__.py", "bench/errors.py", "bench/files.py", "bench/hidden.py", "nisp/__init__.py"}


def imported(file):
    """Files of the project that ``file`` imports, and their packages."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module] + [f"{node.module}.{name.name}" for name in node.names]
        for module in modules:
            path = Path(*module.split("."))
            for candidate in (path.with_suffix(".py"), path / "__init__.py"):
                if (ROOT / candidate).exists():
                    yield str(candidate)


def closure(start):
    found, todo = set(), [start]
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += imported(file)
    return found - DECIDES_NO_NUMBER


@pytest.mark.parametrize(
    "name", sorted(plugins.available(plugins.MODELS)) + sorted(plugins.available(plugins.DATASETS))
)
def test_whatever_training_imports_is_part_of_its_fingerprint(name):
    folder = "models" if name in plugins.available(plugins.MODELS) else "data"
    own = f"bench/{folder}/{name}.py"
    assert closure("bench/training.py") | closure(own) <= {*TRAINING_CODE, own}


@pytest.mark.parametrize("name", sorted(plugins.available(plugins.CRITERIA)))
def test_whatever_pruning_imports_is_part_of_its_fingerprint(name):
    own = str(plugins.available(plugins.CRITERIA)[name].relative_to(ROOT))
    assert closure("bench/experiment.py") | closure(own) <= {*TRAINING_CODE, *PRUNING_CODE, own}


def test_every_file_of_a_fingerprint_exists():
    assert all((ROOT / file).is_file() for file in (*TRAINING_CODE, *PRUNING_CODE))


def test_plugins_are_found_by_file_name_and_load():
    assert {"nisp", "nisp_uniform", "random", "magnitude", "thinet"} <= plugins.available(plugins.CRITERIA).keys()
    assert not any(name.startswith("_") for name in plugins.available(plugins.CRITERIA))
    for name in plugins.available(plugins.CRITERIA):
        assert callable(plugins.load(plugins.CRITERIA, name).score)


def test_options_and_depths_are_read_from_the_source():
    assert plugins.options("nisp") == ("alpha", "variant", "joint")
    assert plugins.options("random") == ()
    assert plugins.depths("plain") == (4, 6, 8, 10, 14) and plugins.depths("lenet") == ()
