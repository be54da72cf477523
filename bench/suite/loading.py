"""Reads YAML configuration files and validates them before any job starts; every error is one sentence."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bench.suite.schema import Suite
from bench.suite.seeds import Seeds, with_seeds
from bench.suite.settings import SUFFIXES
from nisp.errors import UserError

Content = TypeVar("Content", bound=BaseModel)


LONGEST = 1_000_000
"""Limit on the characters of a file, and on the nodes of its content once aliases are expanded."""


class _Loader(yaml.SafeLoader):
    """A YAML loader that rejects duplicate keys, and aliases that expand without limit."""

    def get_single_node(self) -> yaml.Node | None:
        root = super().get_single_node()
        if root is not None and _nodes(root, {}) > LONGEST:
            raise yaml.composer.ComposerError(None, None, "its aliases make it too large", root.start_mark)
        return root

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _nodes(node: yaml.Node, known: dict[int, float]) -> float:
    """Number of nodes with aliases expanded; infinite if an alias contains itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        known[id(node)] = 1 + sum(
            _nodes(part, known) for entry in parts for part in (entry if isinstance(entry, tuple) else (entry,))
        )
    return known[id(node)]


def check_settings(settings: Mapping[str, Any], schema: Path) -> None:
    """UserError in one sentence if the workflow's settings do not fit their JSON schema."""
    from jsonschema import Draft202012Validator  # comes with Snakemake; nothing else needs it

    for error in Draft202012Validator(yaml.safe_load(schema.read_text("utf-8"))).iter_errors(settings):
        where = ".".join(map(str, error.path)) or "config"
        meant = error.schema.get("description", f"allowed are {', '.join(error.schema.get('properties', ()))}")
        raise UserError(_line(f"{where}: {error.message} ({meant})"))


def load_suite(path: Path, seeds: Seeds | None = None) -> Suite:
    """Read and validate a suite file; UserError with one sentence that names file, key and what is allowed.

    seeds  other seeds than the file's (bench.suite.seeds.with_seeds)
    """
    return loaded(path, Suite, "suite", lambda content: with_seeds(content, seeds))


def loaded(
    path: Path, kind: type[Content], what: str, changed: Callable[[dict[str, Any]], dict[str, Any]] = dict
) -> Content:
    """The content of a YAML file as an object of ``kind``, called ``what`` in errors; UserError for every fault.

    changed  what is done to the content before it is validated
    """
    try:
        text = path.read_text("utf-8")
        if len(text) > LONGEST:
            raise UserError(f"{path} has {len(text):,} characters; at most {LONGEST:,} are allowed")
        content = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.y*ml") if file.suffix in SUFFIXES)) or "none"
        raise UserError(_line(f"there is no {what} file {path}: {what}s in {path.parent} are {known}")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(_line(f"{path} cannot be read: {error}")) from None
    except RecursionError:
        raise UserError(f"{path} is not valid YAML: it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise UserError(_line(f"{path} is not valid YAML: {error}")) from None
    except (ValueError, LookupError, AttributeError, TypeError) as error:  # PyYAML does not catch Python's own
        raise UserError(_line(f"{path} is not valid YAML: a date or number in it is malformed ({error})")) from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must be a mapping of the {what}'s settings")
    try:
        return kind(**changed(content))
    except ValidationError as error:
        raise UserError(_line(f"{path}: {'; '.join(_sentences(error, kind, what))}")) from None
    except TypeError:
        raise UserError(f"{path}: every key must be a string") from None


def _line(text: str) -> str:
    """One line of bounded length, for any names and values quoted in it."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line[:1000]) + ("..." if len(line) > 1000 else "")


def _sentences(error: ValidationError, kind: type[BaseModel], name: str) -> Iterator[str]:
    faults = error.errors()
    # A list whose items are all invalid is also reported as empty: only the faults of its items are shown.
    causes = [f for f in faults if not any(g is not f and g["loc"][: len(f["loc"])] == f["loc"] for g in faults)]
    for fault in (causes or faults)[:3]:
        where = ".".join(f"{part!s:.80}" for part in fault["loc"]) or name
        what = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            what = f"is not a known key: allowed are {', '.join(_siblings(fault['loc'], kind))}"
        given = "" if isinstance(fault["input"], dict | list) else f" (given: {fault['input']!r:.80})"
        yield f"{where}: {what}{given if fault['type'] != 'value_error' else ''}"


def _siblings(loc: tuple[int | str, ...], kind: type[BaseModel]) -> list[str]:
    """Keys that are allowed where an unknown one was found."""
    for part in loc[:-1]:
        if str(part) in kind.model_fields:
            kind = _model_in(kind.model_fields[str(part)].annotation) or kind
    return [field.alias or name for name, field in kind.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The kind of object in a field such as tuple[Kind, ...] or dict[str, Kind]."""
    if not get_args(annotation):
        return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    return next(filter(None, map(_model_in, get_args(annotation))), None)
