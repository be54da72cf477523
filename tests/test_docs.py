"""What the documentation points at exists: files, chapters and tests; and its examples print what they say."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def chapters(page):
    """The names that links give to a page's chapters."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for file, chapter in LINK.findall(page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not chapter or chapter in chapters(target), f"{file}#{chapter}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_tests_exist(page):
    for file, function in TEST.findall(page.read_text()):
        tree = ast.parse((ROOT / file).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{function}"


def test_the_examples_of_networks_print_what_they_say(capsys):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/networks.md").read_text(), re.M | re.S)
    code = "\n".join(blocks)
    exec(compile(code, "docs/networks.md", "exec"), {"__name__": "example"})
    expected = re.findall(r"^print\(.*\)  # (.+)$", code, re.M)
    assert len(expected) == 3 and capsys.readouterr().out.splitlines() == expected
