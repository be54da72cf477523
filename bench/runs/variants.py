"""Pruned networks that a paper reports: which layers lose which share of their channels, and the reported savings.

They are data (config/variants/*.yaml), so that a reading of a paper can be checked and changed in one place.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bench.suite.fields import Name, Strict, distinct
from bench.suite.loading import loaded
from bench.suite.specs import ModelSpec
from nisp.errors import UserError
from nisp.pruning.contract import Group
from nisp.pruning.selection import channels_left, factors_by_layer

Share = Annotated[float, Field(ge=0, lt=1)]
PerCent = Annotated[float, Field(gt=0, lt=100)]


class Reported(Strict):
    """What the paper says was saved, in per cent of the unpruned network."""

    flops_reduction: PerCent
    params_reduction: PerCent


class Variant(Strict):
    """One row of a paper's table.

    ratios     pattern of layer names (as in a shell: * also matches dots) -> share of the channels to remove
    rounding   how a fractional number of channels to keep is rounded
    certainty  how sure we are of the paper's numbers, and of which layers it pruned
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
    """Group name -> channels to keep, at least 1 (nisp.pruning.selection.factors_by_layer with the shares themselves).

    UserError for a pattern that matches no layer of any group.
    """
    try:
        shares = factors_by_layer(groups, variant.ratios)
    except UserError as error:
        raise UserError(f"variant '{variant.name}' of {variant.model.label}: {error}") from None
    return {group.name: channels_left(group.channels, shares[group.name], variant.rounding) for group in groups}
