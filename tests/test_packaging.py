"""What is needed to set the project up agrees with itself."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PINNED = re.compile(r"^[A-Za-z0-9_.-]+(?:\[[^\]]*\])?==[^\\\n]+", re.M)


def names(lines):
    return {re.split(r"[\[<>=!;\s]", line.strip())[0].lower() for line in lines if line.strip() and line[0] != "#"}


def locked(python="3.12"):
    """Name -> version of what the lock installs for a version of Python."""
    pins = map(Requirement, PINNED.findall((ROOT / "requirements.lock").read_text()))
    wanted = [pin for pin in pins if pin.marker is None or pin.marker.evaluate({"python_full_version": f"{python}.0"})]
    return {pin.name.lower(): str(pin.specifier).removeprefix("==") for pin in wanted}


def direct():
    return names((ROOT / "requirements.in").read_text().splitlines())


def test_the_lock_pins_every_direct_dependency_with_hashes():
    assert direct() <= locked().keys()
    text = (ROOT / "requirements.lock").read_text()
    assert text.count("--hash=sha256:") >= len(locked())


def test_the_conda_environment_has_the_locks_direct_dependencies():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    [pip] = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    [python] = [item.removeprefix("python=") for item in environment["dependencies"] if str(item).startswith("python=")]
    assert dict(line.lower().split("==") for line in pip) == {name: locked(python)[name] for name in direct()}


def test_the_packages_dependencies_are_among_the_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    assert names(wanted) <= locked().keys()


def test_no_registry_is_named():
    for name in ("requirements.lock", "environment.yml", "requirements.in", "Makefile", "pyproject.toml"):
        assert not re.search(r"--(extra-)?index-url|https?://\S*(simple|pypi)", (ROOT / name).read_text()), name


@pytest.mark.parametrize("target", ["help", "-n reproduce", "-n test"])
def test_make_knows_its_targets(target):
    done = subprocess.run(["make", *target.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout
