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


@cache
def available(folders: tuple[str, ...]) -> dict[str, Path]:
    """Name -> file of every plug-in in ``folders``; files that begin with an underscore are private."""
    files = (file for folder in folders for file in sorted((ROOT / folder).glob("*.py")))
    return {file.stem: file for file in files if not file.stem.startswith("_")}


def load(folders: tuple[str, ...], name: str) -> ModuleType:
    """Import the plug-in called ``name``."""
    file = available(folders)[name]
    return importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def options(criterion: str) -> tuple[str, ...]:
    """Names of the options that a criterion's ``score`` takes beside the problem."""
    for node in _parsed(available(CRITERIA)[criterion]).body:
        if isinstance(node, ast.FunctionDef) and node.name == "score":
            return tuple(argument.arg for argument in node.args.args[1:] + node.args.kwonlyargs)
    return ()


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


@cache
def fingerprint(shared: tuple[str, ...], *plugs: Any) -> str:
    """Digest of the ``shared`` files and of plug-ins given as folders, name, folders, name, ..."""
    files = [ROOT / name for name in shared]
    files += [available(folders)[name] for folders, name in zip(plugs[::2], plugs[1::2], strict=True)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
