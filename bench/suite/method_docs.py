"""docs/methods.md: what each criterion computes, from the docstrings of the criteria themselves.

    python -m bench.suite.method_docs > docs/methods.md

A criterion's module docstring has a title, and one section each called as in SECTIONS ("Equation: ..."), whose further
lines are indented. Sources are read, not imported, so no torch is loaded.
"""

import ast
import re
from pathlib import Path

from bench.suite import plugins
from nisp.errors import UserError

SECTIONS = ("Equation", "Data", "Cost", "Deviations", "Pinned by")
TEMPLATE = plugins.ROOT / "docs/methods.template.md"
PLACE = "<!-- criteria -->\n"
"""The line of the template that the criteria take the place of."""


def page() -> str:
    """The whole page: the template, with a chapter on each criterion, NISP and its relatives first."""
    chapters = "\n".join(chapter(name, file) for name, file in plugins.available(plugins.CRITERIA).items())
    return TEMPLATE.read_text().replace(PLACE, chapters)


def chapter(name: str, file: Path) -> str:
    """Markdown of one criterion."""
    title, found = described(file)
    options = ", ".join(f"`{option}`" for option in _options(file))
    options = f"- **Options.** {options}\n" if options else ""
    facts = "".join(f"- **{section}.** {_sentence(found[section])}\n" for section in ("Data", "Cost", "Deviations"))
    tests = "".join(f"- **Pinned by** `{test}`\n" for test in tests_of(found))
    return f"### {name}\n\n{title}\n\n```\n{found['Equation']}\n```\n\n{options}{facts}{tests}"


def described(file: Path) -> tuple[str, dict[str, str]]:
    """Title of a criterion and its sections by name, lines without their indent.

    UserError for a section that is missing.
    """
    title, _, rest = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")
    pieces = re.split(rf"^({'|'.join(SECTIONS)}): ", rest, flags=re.M)
    found = {
        section: "\n".join(line.strip() for line in text.strip().split("\n"))
        for section, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }
    for section in SECTIONS:
        if section not in found:
            raise UserError(f"the docstring of {file.relative_to(plugins.ROOT)} has no section '{section}:'")
    return title, found


def tests_of(found: dict[str, str]) -> list[str]:
    """The tests, as path::name, that a criterion's sections name."""
    return _joined(found["Pinned by"]).split(", ")


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
