"""docs/methods.md says what the criteria's own docstrings say."""

import ast
import subprocess
import sys

import pytest

from bench.suite import method_docs as methods
from bench.suite import plugins
from nisp.errors import UserError

PAGE = plugins.ROOT / "docs/methods.md"
CRITERIA = plugins.available(plugins.CRITERIA)


def test_the_page_is_what_would_be_made_now():
    assert PAGE.read_text() == methods.page(), "run make docs"


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_has_its_sections_and_names_tests_that_exist(name):
    title, found = methods.described(CRITERIA[name])
    assert title.endswith(".") and all(found.values()) and list(found) == list(methods.SECTIONS)
    for test in methods.tests_of(found):
        file, function = test.split("::")
        tree = ast.parse((plugins.ROOT / file).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test


def test_a_chapter_shows_equation_options_and_tests():
    chapter = methods.chapter("lbl", CRITERIA["lbl"])
    assert "```\nscore = Σ over tensors" in chapter
    assert "- **Options.** `alpha = 0.5`, `variant = 'iccv2015'`\n" in chapter
    assert chapter.count("- **Pinned by** `tests/") == 2


def test_a_missing_section_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(plugins, "ROOT", tmp_path)
    file = tmp_path / "mine.py"
    file.write_text('"""Mine.\n\nEquation: score = 1\nData: none\n"""\n\n\ndef score(problem):\n    pass\n')
    with pytest.raises(UserError, match=r"mine\.py has no section 'Cost:'"):
        methods.described(file)


def test_it_needs_no_torch():
    code = "import sys, bench.suite.method_docs; bench.suite.method_docs.page(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=plugins.ROOT, check=True)
