"""Fingerprints of code: a digest of every file that can change a record's numbers, and of nothing else.

A record depends on the script that makes it, on the plug-ins that its settings name, and on all that these import.
Only the syntax of a file counts: a comment, a docstring or a line break changes no fingerprint.
"""

import ast
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BY_VALUE = "bench/suite"
"""The code that reads suite files; the settings it produces are in every digest by value."""
NO_NUMBER = (
    "bench/__init__.py",
    "bench/files.py",
    "bench/runs/allocation.py",
    "bench/runs/job_log.py",
    "bench/runs/progress.py",
    "bench/runs/provenance.py",
    "bench/training/telling.py",
    "nisp/errors.py",
    "nisp/whole_files.py",
)
"""Code that words errors, writes files atomically, shows progress, keeps memory or records the machine."""


def fingerprint(*files: str | Path) -> str:
    """Digest (16 hexadecimal digits) of ``files``, relative to the project's root, and of project files they import.

    Neutral files are left out (`is_neutral`). Files other than Python are hashed by their bytes.
    """
    return _digest(tuple(ROOT / file for file in files))


def modules(folder: str) -> list[Path]:
    """Every Python file directly in ``folder``: plug-ins and figures, which no import statement names."""
    return sorted((ROOT / folder).glob("*.py"))


@cache
def _digest(files: tuple[Path, ...]) -> str:
    sha256 = hashlib.sha256()
    for source in sorted(set().union(*map(sources_of, files))):
        sha256.update(f"{source.relative_to(ROOT)} {syntax_digest(source)}\n".encode())
    return sha256.hexdigest()[:16]


def sources_of(file: Path) -> set[Path]:
    """The file and all project files it imports, directly or not, in functions too; without neutral files."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        source = waiting.pop()
        if source not in found and not is_neutral(source):
            found.add(source)
            waiting += imported(source) if source.suffix == ".py" else ()
    return found


def is_neutral(file: Path) -> bool:
    """Whether no measured number depends on the code of ``file`` (`BY_VALUE`, `NO_NUMBER`)."""
    return file.is_relative_to(ROOT / BY_VALUE) or file.relative_to(ROOT).as_posix() in NO_NUMBER


@cache
def imported(file: Path) -> tuple[Path, ...]:
    """Files of the project that a Python file imports.

    ``from package import name`` is package/name.py, or the module that package/__init__.py takes the name from, or
    package/__init__.py itself.
    """
    found: list[Path] = []
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            found += [module for name in node.names for module in _module(ROOT.joinpath(*name.name.split(".")))]
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                found += _home(_origin(file, node), name.name)
    return tuple(dict.fromkeys(found))


def _origin(file: Path, node: ast.ImportFrom) -> Path:
    start = file.parents[node.level - 1] if node.level else ROOT
    return start.joinpath(*(node.module or "").split("."))


def _home(origin: Path, name: str) -> tuple[Path, ...]:
    """The file that ``from origin import name`` takes the name from."""
    if module := _module(origin / name):
        return module
    package = origin / "__init__.py"
    if package.is_file():
        for node in ast.walk(parsed(package)):
            if isinstance(node, ast.ImportFrom) and name in [alias.asname or alias.name for alias in node.names]:
                return _home(_origin(package, node), name)
    return _module(origin)


def _module(path: Path) -> tuple[Path, ...]:
    return tuple(file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


@cache
def parsed(file: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(file.read_bytes())


@cache
def syntax_digest(file: Path) -> str:
    """Digest of a Python file's syntax without comments and docstrings; of another file's bytes."""
    content = repr(_outline(parsed(file))).encode() if file.suffix == ".py" else file.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _outline(node: Any) -> Any:
    """A syntax tree as nested tuples, without empty fields, so that all Python versions give the same result."""
    if isinstance(node, ast.AST):
        parts = (
            (name, _outline(value)) for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment")
        )
        return (type(node).__name__, *(part for part in parts if part[1] not in (None, ())))
    if isinstance(node, Sequence) and not isinstance(node, str | bytes):
        return tuple(_outline(item) for item in node if not _is_docstring(item))
    return repr(node) if node is not None else None


def _is_docstring(node: Any) -> bool:
    """A string that is a whole statement: the docstring of a module, class, function or attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
