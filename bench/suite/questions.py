"""The questions of a suite; no measured number depends on them."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from bench.suite.fields import Name, Ratio, Strict, distinct

TOP1 = ("top1_pruned", "top1_recalibrated", "top1_final")
Kind = Literal["difference", "noninferiority", "slope"]
METRICS = (
    *TOP1,
    "top5_final",
    "ware",
    "agreement_top1",
    "agreement_top5",
    "score_seconds",
)


class Question(Strict):
    """A claim, the comparison that decides it, its primary metric and its margin: fixed before anything is run.

    difference      subject is better than each of ``against``, in the mean over ``ratios``
    noninferiority  subject is at most ``margin`` worse than each of ``against`` ('base' is the unpruned network)
    slope           subject gets worse by less per layer than each of ``against``

    ``margin`` is in units of the metric (of a slope: per layer). It is the difference up to which the claim of
    noninferiority holds, and up to which a difference or slope counts as equivalent. Differences of top-1 accuracy have
    a margin of 1 point unless the question says otherwise; everything else must name its own.
    """

    id: Name
    text: str
    claim: str
    kind: Kind
    subject: Name
    against: tuple[Name, ...] = Field(min_length=1)
    metric: str
    models: tuple[Name, ...] = Field(min_length=1)
    plan: Name = "uniform"
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    higher_is_better: bool = True
    margin: float = Field(gt=0)

    @model_validator(mode="before")
    @classmethod
    def _has_a_margin(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "margin" in given:
            return given
        kind, metric = given.get("kind"), given.get("metric")
        if kind == "difference" and metric in TOP1:
            return given | {"margin": 1.0}
        if kind in get_args(Kind) and metric in METRICS:
            what = f"{metric} per layer" if kind == "slope" else metric
            raise ValueError(f"needs a 'margin': the largest difference in {what} that does not matter")
        return given

    _each_once = field_validator("against", "models", "ratios")(distinct)

    @property
    def null(self) -> float:
        """The difference that the claim must exceed."""
        return -self.margin if self.kind == "noninferiority" else 0.0

    @property
    def equivalence(self) -> float | None:
        """The margin within which the verdict is 'equivalent'.

        None for noninferiority: there 'supported' says already that the difference is within the margin.
        """
        return None if self.kind == "noninferiority" else self.margin

    @model_validator(mode="after")
    def _compares_two(self) -> "Question":
        if self.subject == "base" or self.subject in self.against:
            raise ValueError(
                f"the subject '{self.subject}' of question '{self.id}' must be neither base nor one of against"
            )
        if "base" in self.against and not self.metric.startswith(("top1", "top5")):
            raise ValueError(f"the unpruned network has no {self.metric} to compare with: choose a top1 or top5 metric")
        return self

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"metric '{metric}' is unknown: choose one of {', '.join(METRICS)}")
        return metric
