"""Pruned networks that a paper reports: which layers lose which share of their channels, and what is said to be saved.

They are data (config/variants/*.yaml), so that a reading of a paper can be looked up, doubted and changed in one place.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bench.config import loaded
from bench.contract import Group
from bench.errors import UserError
from bench.specs import ModelSpec, Name, Strict, distinct
from bench.surgery import channels_left

Share = Annotated[float, Field(ge=0, lt=1)]
PerCent = Annotated[float, Field(gt=0, lt=100)]


class Reported(Strict):
    """What the paper says was saved, in per cent of the unpruned network."""

    flops_reduction: PerCent
    params_reduction: PerCent


class Variant(Strict):
    """One row of a paper's table.

    ratios     pattern of layer names (as in a shell: * also matches dots) -> share of the channels that goes
    rounding   how a number of channels to keep that is no whole number is rounded
    certainty  how sure it is that this is what the paper did: of the numbers and of which layers were pruned
    """

    name: Name
    model: ModelSpec
    image_size: int = Field(ge=1)
    classes: int = Field(ge=2)
    ratios: dict[str, Share] = Field(min_length=1)
    rounding: Literal["nearest", "down"] = "nearest"
    paper: Reported
    certainty: str
    source: str
    comment: str


class VariantTable(Strict):
    """A file of config/variants."""

    title: str
    variants: tuple[Variant, ...] = Field(min_length=1)

    @field_validator("variants")
    @classmethod
    def _names_differ(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        distinct(tuple(variant.name for variant in variants))
        return variants


def load_variants(path: Path) -> VariantTable:
    """Read and validate a file of variants; UserError with one sentence that names file and key."""
    return loaded(path, VariantTable, "variant table")


def variant_plan(groups: Sequence[Group], variant: Variant) -> dict[str, int]:
    """Group name -> channels to keep, at least 1.

    A group takes a ratio as soon as the pattern matches one of its layers, for all of them lose the same channels.
    Where several patterns match, the last one in the file counts; where none does, the group stays whole.
    UserError for a pattern that matches no layer of any group.
    """
    names = [producer.name for group in groups for producer in group.producers]
    for pattern in variant.ratios:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UserError(
                f"variant '{variant.name}': no layer of {variant.model.label} that can be pruned matches '{pattern}' "
                f"(there are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"
            )
    return {
        group.name: channels_left(group.channels, _ratio(group, variant.ratios), variant.rounding) for group in groups
    }


def _ratio(group: Group, ratios: dict[str, float]) -> float:
    matching = [
        ratio
        for pattern, ratio in ratios.items()
        if any(fnmatchcase(producer.name, pattern) for producer in group.producers)
    ]
    return matching[-1] if matching else 0.0
