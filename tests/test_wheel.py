"""A wheel puts the library on a machine, and nothing else; it needs torch and numpy."""

import re
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
EXAMPLE_NEEDS = ("torchvision", "safetensors")
"""What the README's example uses beside the library's own needs."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", "--local", str(ROOT), str(source)], check=True)
    for name in ("nisp", "pyproject.toml", "README.md", "LICENSE"):  # as they are now, committed or not
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    build = "from setuptools.build_meta import build_wheel; build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, stdout=subprocess.DEVNULL)
    [file] = folder.glob("*.whl")
    return file


def test_the_wheel_holds_one_top_level_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition("/")[0] for name in archive.namelist()}
        modules = {name for name in archive.namelist() if name.endswith(".py")}
    assert {name for name in names if not name.endswith(".dist-info")} == {"nisp"}
    ours = {str(file.relative_to(ROOT)) for file in (ROOT / "nisp").rglob("*.py")}
    assert modules == ours, "every module of the library, sub-packages too"


def test_its_needs_are_torch_and_numpy(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("METADATA")]
        text = archive.read(metadata).decode()
    needs = [Requirement(line) for line in re.findall(r"^Requires-Dist: (.*)$", text, re.M)]
    assert {need.name for need in needs if need.marker is None} == {"torch", "numpy"}


@pytest.mark.slow
def test_the_readmes_example_runs_where_only_the_wheel_and_its_needs_are(wheel, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    [packages] = environment.glob("lib/*/site-packages")
    for name in needed("torch", "numpy", *EXAMPLE_NEEDS):
        for entry in {file.parts[0] for file in distribution(name).files or () if file.parts[0] != ".."}:
            if not (packages / entry).exists():
                (packages / entry).symlink_to(distribution(name).locate_file(entry))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    [example] = [
        b for b in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S) if "nisp.prune" in b
    ]
    (tmp_path / "example.py").write_text(example)
    for missing in ("scipy", "pandas", "pydantic", "ptflops", "snakemake", "bench"):
        done = subprocess.run(
            [environment / "bin/python", "-c", f"import {missing}"], cwd=tmp_path, capture_output=True
        )
        assert done.returncode, f"{missing} is there"
    subprocess.run([environment / "bin/python", "example.py"], cwd=tmp_path, check=True)


def needed(*names):
    """The installed packages that these need, themselves included."""
    found, waiting = {}, list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except ModuleNotFoundError:
            continue
        wanted = map(Requirement, found[name].requires or ())
        waiting += [need.name for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found
