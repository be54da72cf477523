"""The experiments of a suite: grids of runs."""

from itertools import product

from pydantic import Field, field_validator, model_validator

from bench.suite.fields import Name, Ratio, Seed, Strict, distinct
from bench.suite.specs import MethodSpec, ModelSpec, Reconstruction
from bench.training.recoveries import Recovery


class Compositions(Strict):
    """Every combination of criteria, reconstructions and recoveries, as methods."""

    criteria: tuple[Name, ...] = Field(min_length=1)
    reconstructions: tuple[Reconstruction, ...] = Field(default=("none",), min_length=1)
    recoveries: tuple[Recovery, ...] = Field(default=("recalibrate",), min_length=1)

    _each_once = field_validator("criteria", "reconstructions", "recoveries")(distinct)

    @property
    def methods(self) -> dict[str, MethodSpec]:
        """Label -> method: criterion, reconstruction and recovery joined by +, without "none" and "recalibrate"."""
        suffixes = {"none": "", "least_squares": "+ls", "mean": "+mean"}
        return {
            f"{criterion}{suffixes[reconstruction]}{'' if recovery == 'recalibrate' else f'+{recovery}'}": MethodSpec(
                criterion=criterion, reconstruction=reconstruction, recovery=recovery
            )
            for criterion, reconstruction, recovery in product(self.criteria, self.reconstructions, self.recoveries)
        }


class Experiment(Strict):
    """A grid: data sets (all of the suite if none is named) x models x seeds x plans x ratios x methods.

    Methods are named, or combined from ``compositions``, or both.
    """

    name: Name
    datasets: tuple[Name, ...] = ()
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    plans: tuple[Name, ...] = Field(default=("uniform",), min_length=1)
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    named: tuple[Name, ...] = Field(default=(), alias="methods")
    compositions: Compositions | None = None

    _each_once = field_validator("datasets", "seeds", "plans", "ratios", "named", "models")(distinct)

    @model_validator(mode="after")
    def _has_methods(self) -> "Experiment":
        if not self.methods:
            raise ValueError("names neither methods nor compositions")
        return self

    @property
    def methods(self) -> tuple[str, ...]:
        """Labels of all methods, without duplicates."""
        return tuple(dict.fromkeys([*self.named, *(self.compositions.methods if self.compositions else ())]))
