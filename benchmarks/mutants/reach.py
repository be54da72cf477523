"""Which test files reach which modules by imports, and in how many steps."""

import ast
from collections import deque
from functools import cache
from pathlib import Path

from bench.plugins import CRITERIA, DATASETS, MODELS, ROOT, available


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
        for imported in _imported(file):
            if imported not in found:
                found[imported] = found[file] + 1
                waiting.append(imported)
    return {file.relative_to(ROOT): steps for file, steps in found.items()}


@cache
def _imported(file: Path) -> tuple[Path, ...]:
    """Files of the project that ``file`` imports, and, of a test, the plug-ins that it names."""
    names: list[str] = []
    plugs: list[Path] = []
    is_test = (ROOT / "tests") in file.parents
    for node in ast.walk(ast.parse(file.read_text())):
        if is_test and isinstance(node, ast.Constant) and isinstance(node.value, str):
            plugs += [
                found[node.value] for found in map(available, (CRITERIA, MODELS, DATASETS)) if node.value in found
            ]
        if isinstance(node, ast.Import):
            names += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    paths = [ROOT.joinpath(*name.split(".")) for name in names]
    modules = (p for path in paths for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file())
    return (*plugs, *modules)
