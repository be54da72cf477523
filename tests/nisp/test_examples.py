"""The examples in the library's docstrings print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in sorted((ROOT / "nisp").rglob("*.py"))
    if "\n    >>> " in file.read_text()
]


def test_the_public_calls_have_examples():
    assert {"nisp.scoring", "nisp.pruner", "nisp.classifiers", "nisp.pruning.saving.network"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_documentation(module):
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted and not results.failed
