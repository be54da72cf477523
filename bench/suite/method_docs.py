"""docs/methods.md: what each criterion computes, from the docstrings of the criteria themselves.

    python -m bench.suite.method_docs > docs/methods.md

A criterion's module docstring has a title and, optionally, sections called as in SECTIONS ("Equation: ..."), whose
further lines are indented; the project's own criteria have them all. Sources are read, not imported, so no torch is
loaded.
"""

import ast
import re
from collections.abc import Collection
from pathlib import Path

from bench.suite import plugins

SECTIONS = ("Equation", "Data", "Cost", "Deviations", "Pinned by")
TEMPLATE = plugins.ROOT / "docs/methods.template.md"
PLACE = "<!-- criteria -->\n"
"""The line of the template that the criteria replace."""


def page(names: Collection[str] | None = None) -> str:
    """The whole page: the template, with a chapter on each criterion (of ``names``), NISP and its relatives first."""
    criteria = plugins.available(plugins.CRITERIA)
    chapters = "\n".join(chapter(name, file) for name, file in criteria.items() if names is None or name in names)
    return TEMPLATE.read_text().replace(PLACE, chapters)


def chapter(name: str, file: Path) -> str:
    """Markdown of one criterion: its title, and the sections of its docstring."""
    title, found = described(file)
    options = ", ".join(f"`{option}`" for option in _options(file))
    parts = [f"### {name}\n\n{title}\n"]
    if "Equation" in found:
        parts.append(f"\n```\n{found['Equation']}\n```\n")
    facts = [f"- **Options.** {options}\n"] if options else []
    facts += [f"- **{name}.** {_sentence(found[name])}\n" for name in ("Data", "Cost", "Deviations") if name in found]
    facts += [f"- **Pinned by** `{test}`\n" for test in tests_of(found)]
    return "".join([*parts, *(["\n"] if facts else []), *facts])


def described(file: Path) -> tuple[str, dict[str, str]]:
    """Title of a criterion and its sections by name, lines without their indent; a section may be missing."""
    title, _, rest = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")
    pieces = re.split(rf"^({'|'.join(SECTIONS)}): ", rest, flags=re.M)
    found = {
        section: "\n".join(line.strip() for line in text.strip().split("\n"))
        for section, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }
    return title or f"`{file.name}` has no docstring.", found


def tests_of(found: dict[str, str]) -> list[str]:
    """The tests, as path::name, that a criterion's sections name."""
    return _joined(found["Pinned by"]).split(", ") if "Pinned by" in found else []


def _joined(text: str) -> str:
    return text.replace("\n", " ").replace("``", "`")


def _sentence(text: str) -> str:
    return _joined(text[:1].upper() + text[1:])


def _options(file: Path) -> list[str]:
    """The options of ``score`` with their defaults."""
    [score] = [n for n in ast.parse(file.read_text()).body if isinstance(n, ast.FunctionDef) and n.name == "score"]
    names = [argument.arg for argument in score.args.args[1:]]
    return [f"{name} = {ast.unparse(value)}" for name, value in zip(names, score.args.defaults, strict=True)]


if __name__ == "__main__":
    print(page(), end="")
