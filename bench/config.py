"""Reading configuration files: YAML, validated before any job starts; a mistake is told in one sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bench.errors import UserError
from bench.suite import Suite

Content = TypeVar("Content", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load_suite(path: Path) -> Suite:
    """Read and validate a suite file; UserError with one sentence that names file, key and what is allowed."""
    return loaded(path, Suite, "suite")


def loaded(path: Path, kind: type[Content], what: str) -> Content:
    """The content of a YAML file as an object of ``kind``, called ``what`` where the file is missing; UserError."""
    try:
        content = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise UserError(f"there is no {what} file {path}: {what}s in {path.parent} are {known}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must be a mapping of the {what}'s settings")
    try:
        return kind(**content)
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(_sentences(error, kind, what))}") from None
    except TypeError:
        raise UserError(f"{path}: every key must be a word") from None


def _sentences(error: ValidationError, kind: type[BaseModel], name: str) -> Iterator[str]:
    for fault in error.errors()[:3]:
        where = ".".join(str(part) for part in fault["loc"]) or name
        what = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            what = f"is not a known key: allowed are {', '.join(_siblings(fault['loc'], kind))}"
        given = "" if isinstance(fault["input"], dict | list) else f" (given: {fault['input']!r})"
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
