"""The workflow's settings: their paths, and the file of the suite that they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nisp.errors import UserError

SUFFIXES = (".yaml", ".yml")
PATHS = ("results", "data")


def expanded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with ``~`` expanded in the directories of results and data, as `at_home` does."""
    return {**settings, **{name: str(at_home(settings[name])) for name in PATHS}}


def at_home(path: str | Path) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced by that home directory; UserError if there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path} cannot be expanded: there is no home directory {Path(path).parts[0]}") from None


def suite_file(suite: str, folder: Path) -> Path:
    """The file of a suite: ``suite`` itself if it ends in .yaml or .yml, else the file of that name in ``folder``.

    A file that does not exist is returned too, to be reported where it is read. UserError if the folder has both.
    """
    if suite.endswith(SUFFIXES):
        return at_home(suite)
    files = [folder / f"{suite}{suffix}" for suffix in SUFFIXES]
    found = [file for file in files if file.exists()]
    if len(found) > 1:
        raise UserError(f"there are two suite files {found[0]} and {found[1].name}: remove one, or give the path")
    return found[0] if found else files[0]
