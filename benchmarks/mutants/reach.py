"""Which test files reach which modules by imports, and in how many steps."""

import ast
from collections import deque
from functools import cache
from pathlib import Path

from bench.suite.fingerprints import ROOT, imported, parsed
from bench.suite.plugins import CRITERIA, DATASETS, MODELS, available


@cache
def distances() -> dict[Path, dict[Path, int]]:
    """Test file -> module -> imports between them; files relative to the root. Tests of workflow/ are left out."""
    tests = [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if "workflow" not in file.parts]
    return {test.relative_to(ROOT): _steps(test) for test in tests}


def _steps(test: Path) -> dict[Path, int]:
    found = {test: 0}
    waiting = deque([test])
    while waiting:
        file = waiting.popleft()
        for reached in _reached(file):
            if reached not in found:
                found[reached] = found[file] + 1
                waiting.append(reached)
    return {file.relative_to(ROOT): steps for file, steps in found.items()}


@cache
def _reached(file: Path) -> tuple[Path, ...]:
    """Files of the project that ``file`` imports, and, of a test, the plug-ins that it names."""
    return (*_named(file), *imported(file)) if (ROOT / "tests") in file.parents else imported(file)


def _named(test: Path) -> list[Path]:
    """Plug-ins that a test loads by name: "thinet" or "baselines.thinet"."""
    constants = [node.value for node in ast.walk(parsed(test)) if isinstance(node, ast.Constant)]
    names = {text.rpartition(".")[2] for text in constants if isinstance(text, str)}
    plugs = [available(folders) for folders in (CRITERIA, MODELS, DATASETS)]
    return [found[name] for name in sorted(names) for found in plugs if name in found]
