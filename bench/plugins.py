"""Finding pruners, models and data sets by their file names, without importing them.

Reading the source instead of importing it keeps planning a large suite fast: no torch is loaded.
"""

import ast
import hashlib
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
CRITERIA = ("nisp/criteria", "baselines")
MODELS = ("bench/models",)
DATASETS = ("bench/data",)
NEUTRAL = {"bench/__init__.py", "bench/errors.py", "bench/files.py", "bench/hidden.py", "nisp/__init__.py"}
"""Files that no measured number depends on."""


@cache
def available(folders: tuple[str, ...]) -> dict[str, Path]:
    """Name -> file of every plug-in in ``folders``; files that begin with an underscore are private."""
    files = (file for folder in folders for file in sorted((ROOT / folder).glob("*.py")))
    return {file.stem: file for file in files if not file.stem.startswith("_")}


def load(folders: tuple[str, ...], name: str) -> ModuleType:
    """Import the plug-in called ``name``."""
    file = available(folders)[name]
    return importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def options(criterion: str) -> dict[str, str]:
    """Name -> annotation of the options that a criterion's ``score`` takes beside the problem."""
    return dict(_parameters(available(CRITERIA)[criterion], "score")[1:])


def data_options(dataset: str) -> dict[str, str]:
    """Name -> annotation of the options that a data set's ``load`` takes beside the directory and the seed."""
    return dict(_parameters(available(DATASETS)[dataset], "load")[2:])


def _parameters(file: Path, function: str) -> list[tuple[str, str]]:
    for node in _parsed(file).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            arguments = node.args.args + node.args.kwonlyargs
            return [(a.arg, ast.unparse(a.annotation) if a.annotation else "") for a in arguments]
    return []


def depths(model: str) -> tuple[int, ...]:
    """The depths that a model family comes in; empty if it has one only."""
    for node in _parsed(available(MODELS)[model]).body:
        targets: list[Any] = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and any(getattr(t, "id", "") == "DEPTHS" for t in targets):
            return tuple(ast.literal_eval(node.value)) if node.value else ()
    return ()


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def fingerprint(shared: tuple[str, ...], *plugs: Any) -> str:
    """Digest of files, of plug-ins given as folders, name, folders, name, ..., and of what these import of the project.

    Files that decide no number (`NEUTRAL`) are left out.
    """
    files = [ROOT / name for name in shared]
    files += [available(folders)[name] for folders, name in zip(plugs[::2], plugs[1::2], strict=True)]
    return _digest(tuple(files))


@cache
def _digest(files: tuple[Path, ...]) -> str:
    sources = sorted(set().union(*map(sources_of, files)))
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:16]


def sources_of(file: Path) -> set[Path]:
    """The file and every file of the project that it imports, directly or not, in functions too."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            waiting += _imported(source) if source.suffix == ".py" else ()
    return {source for source in found if str(source.relative_to(ROOT)) not in NEUTRAL}


@cache
def _imported(file: Path) -> tuple[Path, ...]:
    modules = []
    for node in ast.walk(_parsed(file)):
        if isinstance(node, ast.Import):
            modules += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    paths = [ROOT.joinpath(*module.split(".")) for module in modules]
    return tuple(p for path in paths for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file())
