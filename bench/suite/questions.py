"""The questions of a suite; no measured number depends on them."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from bench.suite.fields import Name, Ratio, Strict, distinct

METRICS = (
    "top1_pruned",
    "top1_recalibrated",
    "top1_final",
    "top5_final",
    "ware",
    "agreement_top1",
    "agreement_top5",
    "score_seconds",
)


class Question(Strict):
    """A claim, the comparison that decides it, and its primary metric: fixed before anything is run.

    difference      subject is better than each of ``against``, in the mean over ``ratios``, model by model
    noninferiority  subject is at most ``margin`` worse than each of ``against`` ('base' is the unpruned network),
                    for every model and ratio
    slope           subject gets worse by less per layer than each of ``against``
    """

    id: Name
    text: str
    claim: str
    kind: Literal["difference", "noninferiority", "slope"]
    subject: Name
    against: tuple[Name, ...] = Field(min_length=1)
    metric: str
    models: tuple[Name, ...] = Field(min_length=1)
    plan: Name = "uniform"
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    higher_is_better: bool = True
    margin: float = Field(default=0.0, ge=0)

    _each_once = field_validator("against", "models", "ratios")(distinct)

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
