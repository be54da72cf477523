"""Reading suite files: YAML, validated before any job starts; a mistake is told in one sentence."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bench.errors import UserError
from bench.specs import DatasetSpec, Experiment, Finetuning, MethodSpec, ModelSpec, Question, Training, TrainingTable
from bench.suite import Suite


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
    try:
        content = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise UserError(f"there is no suite file {path}: suites in {path.parent} are {known}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must be a mapping of the suite's settings")
    try:
        return Suite(**content)
    except ValidationError as error:
        raise UserError(f"{path}: {'; '.join(_sentences(error))}") from None
    except TypeError:
        raise UserError(f"{path}: every key must be a word") from None


def _sentences(error: ValidationError) -> Iterator[str]:
    for fault in error.errors()[:3]:
        where = ".".join(str(part) for part in fault["loc"]) or "suite"
        what = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            what = f"is not a known key: allowed are {', '.join(_siblings(fault['loc']))}"
        given = "" if isinstance(fault["input"], dict | list) else f" (given: {fault['input']!r})"
        yield f"{where}: {what}{given if fault['type'] != 'value_error' else ''}"


def _siblings(loc: tuple[int | str, ...]) -> list[str]:
    """Keys that are allowed where an unknown one was found."""
    kinds: dict[str, type[BaseModel]] = {
        "datasets": DatasetSpec, "default": Training, "finetune": Finetuning, "methods": MethodSpec,
        "experiments": Experiment, "questions": Question, "training": TrainingTable, "models": ModelSpec,
    }  # fmt: skip
    kind: type[BaseModel] = Suite
    for part in loc[:-1]:
        kind = kinds.get(str(part), kind)
    return list(kind.model_fields)
