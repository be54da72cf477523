"""The base class and field types of suite files: immutable, strict about keys and types, with limits on values."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$", max_length=64)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


def _short(ratio: float) -> float:
    """Ratios appear in file names, so at most six digits are allowed."""
    if "e" in f"{ratio:g}" or float(f"{ratio:g}") != ratio:
        raise ValueError(f"{ratio!r} has more than six digits, or is less than 0.0001")
    return ratio


Ratio = Annotated[float, Field(gt=0, lt=1), AfterValidator(_short)]


class Strict(BaseModel):
    """Immutable; rejects unknown keys, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as booleans, which would count as 1 and 0."""
        given = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, bool) for item in given) and not _takes_boolean(cls, info):
            raise ValueError(f"a boolean is not allowed here (given: {value!r:.80})")
        return value

    @field_validator("*")
    @classmethod
    def _of_sensible_size(cls, value: Any) -> Any:
        for item in value if isinstance(value, tuple) else [value]:
            if isinstance(item, int | float) and abs(item) >= 2**31:
                raise ValueError(f"{item:.3g} is too large: numbers must be below 2^31")
        return value


def _takes_boolean(kind: type[BaseModel], info: ValidationInfo) -> bool:
    return kind.model_fields[str(info.field_name)].annotation is bool


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values; ValueError if one occurs twice."""
    doubles = [value for index, value in enumerate(values) if value in values[:index]]
    if doubles:
        raise ValueError(f"{doubles[0]} is given twice")
    return values


def check_options(owner: str, options: Mapping[str, Any], allowed: Mapping[str, str]) -> None:
    """ValueError if an option is unknown, or not of the type in its annotation."""
    for option, value in options.items():
        if option not in allowed:
            raise ValueError(f"{owner} has no option '{option}': it takes {', '.join(allowed) or 'none'}")
        if not _is_of(value, allowed[option]):
            raise ValueError(f"option '{option}' must be of type {allowed[option]} (given: {value!r:.80})")


def _is_of(value: Any, kind: str) -> bool:
    """Whether an option has the type in its annotation; float, int, bool and str are checked, nothing else."""
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"bool": bool, "str": str}.get(kind, object))
