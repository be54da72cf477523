"""Finding pruners, models and data sets by their file names, without importing them.

Reading the source instead of importing it keeps planning a large suite fast: no torch is loaded.
"""

import ast
import importlib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.suite.fingerprints import ROOT, parsed

CRITERIA = ("nisp/criteria", "baselines")
MODELS = ("bench/models",)
DATASETS = ("bench/data",)
RANKINGS = ("nisp/rankings",)


@cache
def available(folders: tuple[str, ...]) -> dict[str, Path]:
    """Name -> file of every plug-in in ``folders``; files that begin with an underscore are private."""
    files = (file for folder in folders for file in sorted((ROOT / folder).glob("*.py")))
    return {file.stem: file for file in files if not file.stem.startswith("_")}


def file_of(folders: tuple[str, ...], name: str) -> Path:
    """The file of the plug-in called ``name``."""
    return available(folders)[name]


def load(folders: tuple[str, ...], name: str) -> ModuleType:
    """Import the plug-in called ``name``."""
    file = file_of(folders, name)
    return importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def options(criterion: str) -> dict[str, str]:
    """Name -> annotation of the options that a criterion's ``score`` takes after the problem."""
    return dict(_parameters(file_of(CRITERIA, criterion), "score")[1:])


def ranking_options(ranking: str) -> dict[str, str]:
    """Name -> annotation of the options that a ranking's ``rank`` takes after the responses."""
    return dict(_parameters(file_of(RANKINGS, ranking), "rank")[1:])


def data_options(dataset: str) -> dict[str, str]:
    """Name -> annotation of the options that a data set's ``load`` takes after the directory and the seed."""
    return dict(_parameters(file_of(DATASETS, dataset), "load")[2:])


def _parameters(file: Path, function: str) -> list[tuple[str, str]]:
    for node in parsed(file).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            arguments = node.args.args + node.args.kwonlyargs
            return [(a.arg, ast.unparse(a.annotation) if a.annotation else "") for a in arguments]
    return []


def depths(model: str) -> tuple[int, ...]:
    """The depths of a model family; empty if it has only one."""
    for node in parsed(file_of(MODELS, model)).body:
        targets: list[Any] = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, ast.Assign | ast.AnnAssign) and any(getattr(t, "id", "") == "DEPTHS" for t in targets):
            return tuple(ast.literal_eval(node.value)) if node.value else ()
    return ()
