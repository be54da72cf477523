"""Fingerprints of code: a digest of every file that can change a record's numbers, and of nothing else.

A record depends on the script that makes it, on the plug-ins that its settings name, and on all that these import. Of
each file only its syntax counts: a comment, a docstring or a line break changes no fingerprint.
"""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BY_VALUE = (
    "bench/suite/loading.py",
    "bench/suite/fingerprints.py",
    "bench/suite/plugins.py",
    "bench/suite/specs.py",
    "bench/suite/schema.py",
)
"""Code that reads suites: the settings that it makes of a suite file are in every digest by their values."""
NO_NUMBER = (
    "bench/__init__.py",
    "nisp/errors.py",
    "bench/files.py",
    "bench/runs/progress.py",
    "bench/runs/provenance.py",
)
"""The version, and code that words errors, writes files whole, shows progress or notes the machine."""
NEUTRAL = frozenset(BY_VALUE + NO_NUMBER)


def fingerprint(*files: str | Path) -> str:
    """Digest, 16 hexadecimal digits, of ``files`` (relative to the project's root) and of what they import of it.

    `NEUTRAL` files are left out. Files that are not Python count by their bytes.
    """
    return _digest(tuple(ROOT / file for file in files))


@cache
def _digest(files: tuple[Path, ...]) -> str:
    sha256 = hashlib.sha256()
    for source in sorted(set().union(*map(sources_of, files))):
        sha256.update(f"{source.relative_to(ROOT)} {syntax_digest(source)}\n".encode())
    return sha256.hexdigest()[:16]


def sources_of(file: Path) -> set[Path]:
    """The file and every file of the project that it imports, directly or not, in functions too; without `NEUTRAL`."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        source = waiting.pop()
        if source not in found and not _is_neutral(source):
            found.add(source)
            waiting += imported(source) if source.suffix == ".py" else ()
    return found


def _is_neutral(file: Path) -> bool:
    return file.relative_to(ROOT).as_posix() in NEUTRAL


@cache
def imported(file: Path) -> tuple[Path, ...]:
    """Files of the project that a Python file imports; ``from package import name`` is package/name.py, or package."""
    found: list[Path] = []
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            found += [module for name in node.names for module in _module(ROOT.joinpath(*name.name.split(".")))]
        elif isinstance(node, ast.ImportFrom):
            start = file.parents[node.level - 1] if node.level else ROOT
            origin = start.joinpath(*(node.module or "").split("."))
            found += _module(origin)
            found += [module for name in node.names for module in _module(origin / name.name)]
    return tuple(dict.fromkeys(found))


def _module(path: Path) -> Iterator[Path]:
    return (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file())


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
    """A syntax tree as nested tuples: what is empty is left out, so that all versions of Python make the same."""
    if isinstance(node, ast.AST):
        parts = (
            (name, _outline(value)) for name, value in ast.iter_fields(node) if name not in ("kind", "type_comment")
        )
        return (type(node).__name__, *(part for part in parts if part[1] not in (None, ())))
    if isinstance(node, Sequence) and not isinstance(node, str | bytes):
        return tuple(_outline(item) for item in node if not _is_docstring(item))
    return repr(node) if node is not None else None


def _is_docstring(node: Any) -> bool:
    """Text that stands by itself: of a module, class or function, or below an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
