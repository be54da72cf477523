"""Fingerprints notice every change to code that decides a number, and no change to anything else."""

import copy
from pathlib import Path

import pytest

from bench.suite import fingerprints, plugins
from bench.suite.schema import Suite
from tests.bench.suite.test_digests import CONTENT

ROOT = Path(__file__).parents[3]
SCRIPTS = {name: f"workflow/scripts/{name}.py" for name in ("data", "base", "prune", "latency", "collect", "analyse")}
SHOWN = {
    "bench/runs/dashboard.py": "progress", "bench/answers/report.py": "the report",
    "bench/runs/table1.py": "costs of the paper's table", "bench/runs/variants.py": "costs of the paper's table",
    "nisp/__init__.py": "names", "nisp/lazy.py": "names",
    "nisp/pruning/__init__.py": "names", "nisp/pruning/channels/__init__.py": "names",
    "nisp/arguments.py": "users' own networks", "nisp/pruner.py": "users' own networks",
    "nisp/pruning/exactness.py": "users' own networks",
    "nisp/scoring.py": "users' own networks", "nisp/torch_pruning.py": "users' own networks",
}  # fmt: skip
"""Files that no record depends on, and what they are for."""
SAVING = "nisp/pruning/saving/"
"""Nor on these: users' own networks."""


def source_files():
    folders = ("nisp", "bench", "baselines")
    files = (file.relative_to(ROOT).as_posix() for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return sorted(file for file in files if "figures" not in file and _says_something(ROOT / file))


def _says_something(file):
    """Whether there is more in a file than its docstring."""
    return len(fingerprints.parsed(file).body) > 1


def digests(suite):
    """Everything that is fingerprinted of a suite."""
    runs = suite.runs
    return (
        *(suite.data_digest(dataset.name) for dataset in suite.datasets),
        *(suite.base_digest(run.dataset, run.model, run.seed) for run in runs),
        *map(suite.run_digest, runs),
        suite.latency_digest,
        fingerprints.fingerprint(SCRIPTS["collect"]),
        fingerprints.fingerprint(SCRIPTS["analyse"]),
    )


@pytest.fixture(scope="module")
def everything():
    """A suite with every criterion, model, data set and ranking of the project."""
    content = copy.deepcopy(CONTENT)
    content["methods"] = {name: {"criterion": name} for name in plugins.available(plugins.CRITERIA)}
    content["datasets"] = [{"name": name} for name in plugins.available(plugins.DATASETS)]
    models = [
        {"name": name, **({"depth": plugins.depths(name)[0]} if plugins.depths(name) else {})}
        for name in plugins.available(plugins.MODELS)
    ]
    content["experiments"][0] |= {"methods": list(content["methods"]), "models": models[:1]}
    content["experiments"].append(
        {"name": "models", "models": models[1:], "seeds": [0], "ratios": [0.5], "methods": ["nisp"]}
    )
    return [Suite(**{**content, "frl_ranking": {"name": name}}) for name in plugins.available(plugins.RANKINGS)]


@pytest.mark.parametrize("file", source_files())
def test_a_change_to_a_file_that_decides_a_number_is_noticed_and_no_other(file, everything, monkeypatch):
    def seen():
        fingerprints._digest.cache_clear()
        for suite in everything:
            suite.__dict__.pop("latency_digest", None)
            suite._known.clear()
        return [digests(suite) for suite in everything]

    before = seen()
    real = fingerprints.syntax_digest
    monkeypatch.setattr(fingerprints, "syntax_digest", lambda f: "changed" if f == ROOT / file else real(f))
    after = seen()
    fingerprints._digest.cache_clear()
    assert (after == before) == (fingerprints.is_neutral(ROOT / file) or file in SHOWN or file.startswith(SAVING)), file


def test_the_digest_of_syntax_follows_what_runs(tmp_path):
    code = (
        '"""A module."""\n\nDAMPING = 0.9  # as in the paper\n"""How much."""\n\n\n'
        'def f(x):\n    """Doc."""\n    return x + "a"\n'
    )
    harmless = [
        code.replace("A module", "Another"),
        code.replace("  # as in the paper", ""),
        code.replace("How much", "So much"),
        code.replace('    """Doc."""\n', ""),
        code.replace("x + ", "(x  +  ").replace('"a"', '"a")'),
    ]
    harmful = [code.replace("0.9", "0.1"), code.replace('"a"', '"b"'), code.replace("+", "-"), code + "\nf(1)\n"]
    digest = _digest(tmp_path, code)
    assert all(_digest(tmp_path, other) == digest for other in harmless)
    assert all(_digest(tmp_path, other) != digest for other in harmful)


def _digest(folder, code):
    file = folder / f"{abs(hash(code))}.py"
    file.write_text(code)
    return fingerprints.syntax_digest(file)


def test_none_and_nothing_are_told_apart(tmp_path):
    pairs = [("return", "return None"), ("return x[:1]", "return x[1:]"), ("return 1", "return '1'")]
    for first, second in pairs:
        one, other = (_digest(tmp_path, f"def f(x):\n    {body}\n") for body in (first, second))
        assert one != other, (first, second)


def test_which_file_holds_the_code_counts(tmp_path, monkeypatch):
    """The same lines in two files, dealt out differently, are other code."""
    monkeypatch.setattr(fingerprints, "ROOT", tmp_path)
    found = []
    for number, (first, second) in enumerate([("x = 1\n", "y = 2\n"), ("", "x = 1\ny = 2\n")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "a.py").write_text(first)
        (folder / "b.py").write_text(second)
        monkeypatch.setattr(fingerprints, "ROOT", folder)
        found.append(fingerprints.fingerprint("a.py", "b.py"))
    assert found[0] != found[1]


def test_imports_of_every_kind_are_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "ROOT", tmp_path)
    (tmp_path / "pack").mkdir()
    for name in ("__init__", "one", "two", "three", "four", "unused"):
        (tmp_path / f"pack/{name}.py").write_text("")
    (tmp_path / "pack/main.py").write_text(
        "import pack.one as x\nfrom pack import two\nfrom .three import y\n\n\ndef f():\n    from . import four\n"
    )
    found = {file.name for file in fingerprints.sources_of(tmp_path / "pack/main.py")}
    assert found == {"main.py", "one.py", "two.py", "three.py", "four.py"}


def test_a_name_that_a_package_passes_on_is_followed_to_its_home(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "ROOT", tmp_path)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack/__init__.py").write_text("from pack.one import x\nfrom .two import y as z\n\nown = 1\n")
    for name in ("one", "two"):
        (tmp_path / f"pack/{name}.py").write_text("")
    for imported, home in (("x", "one.py"), ("z", "two.py"), ("own", "__init__.py")):
        file = tmp_path / f"{imported}.py"
        file.write_text(f"from pack import {imported}\n")
        assert [source.name for source in fingerprints.imported(file)] == [home]


def test_a_file_that_is_not_python_counts_by_its_bytes(tmp_path):
    (tmp_path / "a.j2").write_text("<p># not a comment</p>")
    (tmp_path / "b.j2").write_text("<p></p>")
    assert fingerprints.syntax_digest(tmp_path / "a.j2") != fingerprints.syntax_digest(tmp_path / "b.j2")


@pytest.mark.parametrize("file", sorted({*fingerprints.NO_NUMBER, *SHOWN}))
def test_files_that_decide_nothing_exist(file):
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("script", ["data", "base", "prune", "latency"])
def test_nothing_that_makes_a_record_imports_what_answers(script):
    for source in fingerprints.sources_of(ROOT / SCRIPTS[script]):
        assert not source.name.startswith(("report", "verdicts", "tables", "statistics", "answers")), source
