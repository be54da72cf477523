"""docs/methods.md says what the criteria's own docstrings say."""

import ast
import subprocess
import sys

import pytest

from bench.suite import method_docs as methods
from bench.suite import plugins

PAGE = plugins.ROOT / "docs/methods.md"
CRITERIA = plugins.available(plugins.CRITERIA)
OWN = [name for name in CRITERIA if f"\n### {name}\n" in PAGE.read_text()]
"""The project's own criteria; a user's file beside them need not be documented."""


def test_the_page_is_what_would_be_made_now():
    assert PAGE.read_text() == methods.page(OWN), "run make docs"


def test_every_criterion_of_the_project_is_on_the_page():
    tracked = subprocess.run(
        ["git", "ls-files", "baselines", "nisp/criteria"], cwd=plugins.ROOT, capture_output=True, text=True
    ).stdout.split()
    if not tracked:
        pytest.skip("this is not a git checkout")
    assert set(OWN) == {name for name, file in CRITERIA.items() if str(file.relative_to(plugins.ROOT)) in tracked}


@pytest.mark.parametrize("name", OWN)
def test_every_criterion_has_its_sections_and_names_tests_that_exist(name):
    title, found = methods.described(CRITERIA[name])
    assert title.endswith(".") and all(found.values()) and list(found) == list(methods.SECTIONS)
    for test in methods.tests_of(found):
        file, function = test.split("::")
        tree = ast.parse((plugins.ROOT / file).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_a_chapter_shows_equation_options_and_tests():
    chapter = methods.chapter("lbl", CRITERIA["lbl"])
    assert "```\nscore = Σ over the tensors" in chapter
    assert "- **Options.** `alpha = 0.5`, `variant = 'iccv2015'`\n" in chapter
    assert chapter.count("- **Pinned by** `tests/") == 2


def test_a_file_without_sections_has_a_chapter_of_what_it_says(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text('"""Mine."""\n\n\ndef score(problem, power=2.0):\n    pass\n')
    assert methods.chapter("mine", file) == "### mine\n\nMine.\n\n- **Options.** `power = 2.0`\n"
    file.write_text('"""Mine.\n\nEquation: score = 1\n"""\n\n\ndef score(problem):\n    pass\n')
    assert methods.chapter("mine", file) == "### mine\n\nMine.\n\n```\nscore = 1\n```\n"


def test_it_needs_no_torch():
    code = "import sys, bench.suite.method_docs; bench.suite.method_docs.page(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=plugins.ROOT, check=True)
