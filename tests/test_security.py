"""Nothing of what is read is run: no pickle, no unsafe YAML, no shell; and what is installed is what was locked."""

import ast
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
FOLDERS = ("nisp", "baselines", "bench", "workflow", "benchmarks")
CODE = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))]
FORBIDDEN = {
    "eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "dill.load", "joblib.load", "marshal.loads",
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "subprocess.getoutput", "subprocess.getstatusoutput",
}  # fmt: skip


def faults(source):
    """Every dangerous call in a source: its line and what it is."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called, given = ast.unparse(node.func), {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in FORBIDDEN:
            yield node.lineno, called
        if called.split(".")[-1] == "load" and called.startswith("torch") and given.get("weights_only") != "True":
            yield node.lineno, "torch.load without weights_only=True"
        if called in ("torch.load", "np.load", "numpy.load") and given.get("allow_pickle") == "True":
            yield node.lineno, "allow_pickle"
        if given.get("shell", "False") != "False":
            yield node.lineno, "shell=True"
        if called == "yaml.load" and "_Loader" not in [ast.unparse(argument) for argument in node.args]:
            yield node.lineno, "yaml.load without a safe loader"


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_code_runs_what_it_reads(file):
    assert list(faults(file.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(f)", "torch.load(f, weights_only=False)", "pickle.load(f)", "yaml.load(f)", "os.system('ls')",
        "yaml.load(f, yaml.Loader)", "subprocess.run(c, shell=True)", "subprocess.Popen(c, shell=x)", "eval(s)",
        "exec(s)", "np.load(f, allow_pickle=True)", "yaml.unsafe_load(f)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_for(source):
    assert list(faults(source))


@pytest.mark.parametrize("file", RULES, ids=lambda file: str(file.relative_to(ROOT)))
def test_rules_run_scripts_and_no_shell(file):
    """So names of a suite reach Python as they are, never a shell."""
    assert not re.search(r"^\s*(shell|run|notebook|wrapper|cwl):|shell\(", file.read_text(), re.M)


def test_the_yaml_loader_is_a_safe_one():
    import yaml

    from bench.suite.loading import _Loader

    assert issubclass(_Loader, yaml.SafeLoader)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("pwned"),)


def test_a_checkpoint_or_weights_file_with_code_in_it_is_refused(tmp_path, monkeypatch, digits):
    from bench.runs.bases import untrained
    from bench.suite.specs import ModelSpec
    from bench.training.pretrained import load_pretrained
    from nisp.errors import UserError

    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Bomb()}, "bomb.pt")
    with pytest.raises(UserError, match=r"bomb\.pt cannot be read"):
        load_pretrained(untrained(ModelSpec(name="lenet"), digits, 0), "bomb.pt")
    assert not Path("pwned").exists()


def test_every_locked_requirement_has_hashes():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.M)[1:]
    assert len(entries) > 50
    for entry in entries:
        assert re.match(r"[A-Za-z0-9_.-]+(\[[^\]]*\])?==", entry) and re.search(r"--hash=sha256:[0-9a-f]{64}", entry), (
            entry
        )
    assert "--require-hashes" in (ROOT / "Makefile").read_text()
