"""The README's code works as printed, and the verdicts in the docs are those of the reference run."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.suite import plugins
from nisp.errors import UserError
from tests.conftest import build, problem

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", README, re.S))
REFERENCE = ROOT / "results/reference/embedded"


def module(name, tmp_path):
    file = tmp_path / Path(name).name
    file.write_text(BLOCKS[name])
    spec = importlib.util.spec_from_file_location(file.stem, file)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_pruner_scores_every_group(tmp_path, digits):
    given, _ = problem(build("resnet", 8), digits)
    scores = module("baselines/l2.py", tmp_path).score(given)
    assert {name: len(score) for name, score in scores.items()} == {g.name: g.channels for g in given.groups}


def test_the_model_can_be_pruned(tmp_path, digits):
    model = module("bench/models/tiny.py", tmp_path).build(None, 1, 8, 10).eval()
    given, _ = problem(model, digits)
    assert [group.channels for group in given.groups] == [8, 16]


def test_the_data_set_loads_and_names_a_missing_file(tmp_path):
    load = module("bench/data/my_images.py", tmp_path).load
    with pytest.raises(UserError, match=r"my_images\.npz"):
        load(tmp_path, 0)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "my_images.npz", images=rng.random((40, 3, 6, 6)), labels=np.arange(40) % 4)
    dataset = load(tmp_path, 0)
    assert [len(part.labels) for part in (dataset.train, dataset.validation, dataset.test)] == [28, 6, 6]
    torch.testing.assert_close(dataset.train.images.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)


def test_the_example_of_your_own_network_runs_as_printed(capsys, tmp_path, monkeypatch):
    [example] = [block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "nisp.prune" in block]
    expected = re.findall(r"^print.*?  # (.+)$", example, re.M)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == expected and len(expected) == 4


def test_the_folders_that_plugins_go_to_are_those_that_are_searched():
    folders = {str(Path(name).parent) for name in BLOCKS}
    assert folders <= {folder for group in (plugins.CRITERIA, plugins.MODELS, plugins.DATASETS) for folder in group}


def test_the_readme_is_short_enough_for_a_newcomer():
    assert len(README.splitlines()) <= 200


def test_the_verdicts_shown_are_the_reference_runs():
    page = (ROOT / "docs/results.md").read_text()
    [shown] = re.findall(r"<!-- verdicts -->\n```\n(.*?)```\n<!-- /verdicts -->", page, re.S)
    assert shown == (REFERENCE / "tables/verdicts.txt").read_text()
