"""Who may import whom, and that no imports go round in a circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("nisp", "baselines", "bench")
MAY_IMPORT = {
    "nisp": ("nisp",),
    "nisp.pruning": ("nisp.errors", "nisp.lazy", "nisp.pruning", "nisp.whole_files"),
    "baselines": ("baselines", "nisp.errors", "nisp.pruning"),
    "bench.suite": ("bench.suite", "bench.training.recoveries", "nisp.errors"),
    "bench.data": ("bench.data", "bench.training.prefetching", "nisp.errors"),
    "bench.models": ("bench.models", "nisp.errors"),
    "bench.training": (
        "bench.training", "bench.data", "bench.files", "nisp.whole_files", "nisp.errors", "nisp.pruning",
    ),
    "bench.runs": (
        "bench.runs", "bench.training", "bench.data", "bench.models", "bench.suite", "bench.files",
        "bench.answers.tables", "nisp.classifiers", "nisp.errors", "nisp.pruning", "nisp.whole_files",
    ),
    "bench.answers": ("bench.answers", "bench.suite", "bench.files", "nisp.whole_files", "nisp.errors", "nisp"),
    "bench.figures": (
        "bench.figures", "bench.answers", "bench.suite", "bench.files", "bench.training.recoveries", "nisp.errors",
        "nisp.whole_files",
    ),
}  # fmt: skip
"""Package -> what its modules may import of the project; the longest name that fits counts."""
WITHOUT_TORCH = ("bench.suite", "bench.answers", "bench.figures")


def modules():
    """Module name -> its file."""
    files = (file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = modules()


def imports(name, everywhere=True):
    """Modules of the project that a module imports, as names; of those in functions and for types, only if everywhere.

    A name that a package passes on counts as the package.
    """
    tree = ast.parse(MODULES[name].read_text())
    nodes = ast.walk(tree) if everywhere else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports by a relative path"
            own = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= own or {node.module}
    return sorted(module for module in found if module.partition(".")[0] in FOLDERS)


def package_of(name):
    return max((package for package in MAY_IMPORT if f"{name}.".startswith(f"{package}.")), key=len, default=None)


@pytest.mark.parametrize("name", MODULES)
def test_arrows_run_one_way(name):
    package = package_of(name)
    if package is None:  # bench itself
        assert set(imports(name)) <= {"nisp.errors", "nisp.whole_files"}
        return
    for module in imports(name):
        allowed = MAY_IMPORT[package]
        assert any(f"{module}.".startswith(f"{other}.") for other in allowed), f"{name} imports {module}"


def test_no_imports_go_round_in_a_circle():
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for module in imports(name, everywhere=False):
            visit(module)
        done.add(path.pop())

    for name in MODULES:
        visit(name)


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_planning_and_answering_import_no_torch(package):
    names = [name for name in MODULES if f"{name}.".startswith(f"{package}.")]
    code = f"import sys\nfor name in {names}:\n    __import__(name)\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_errors_and_the_version_import_no_torch():
    code = "import sys, nisp; nisp.UserError, nisp.__version__; assert 'torch' not in sys.modules; assert nisp.prune"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_benchmark_names_no_method():
    """Criteria are plug-ins: what bench imports of nisp is what any pruner needs, and how the classifier is found."""
    for name in MODULES:
        if name.startswith("bench"):
            assert not {module for module in imports(name) if module.startswith(("nisp.criteria", "nisp.rankings"))}
