"""The parts of a suite file: frozen objects that check what they are given."""

import math
from collections.abc import Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from bench.suite import plugins
from bench.training.recoveries import Recovery

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$", max_length=64)]
Reconstruction = Literal["none", "least_squares"]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
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


def _short(ratio: float) -> float:
    """A ratio stands in the names of files, with six digits at most."""
    if "e" in f"{ratio:g}" or float(f"{ratio:g}") != ratio:
        raise ValueError(f"{ratio!r} has more than six digits, or is less than 0.0001")
    return ratio


Ratio = Annotated[float, Field(gt=0, lt=1), AfterValidator(_short)]


class Strict(BaseModel):
    """Frozen, no key that it does not know, and no number that is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes and no, on and off as truth values, which would count as 1 and 0."""
        given = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(item, bool) for item in given) and not _takes_truth(cls, info):
            raise ValueError(f"yes and no, true and false, are no answer here (given: {value!r:.80})")
        return value

    @field_validator("*")
    @classmethod
    def _of_sensible_size(cls, value: Any) -> Any:
        for item in value if isinstance(value, tuple) else [value]:
            if isinstance(item, int | float) and abs(item) >= 2**31:
                raise ValueError(f"{item:.3g} is larger than any number here may be")
        return value


def _takes_truth(kind: type[BaseModel], info: ValidationInfo) -> bool:
    return kind.model_fields[str(info.field_name)].annotation is bool


def _known(name: str, folders: tuple[str, ...], what: str) -> str:
    names = plugins.available(folders)
    if name not in names:
        raise ValueError(f"{what} '{name}' is unknown: choose one of {', '.join(names)}")
    return name


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, none of them twice."""
    doubles = [value for index, value in enumerate(values) if value in values[:index]]
    if doubles:
        raise ValueError(f"{doubles[0]} is given twice")
    return values


class DatasetSpec(Strict):
    """A data set by name, the seed of its splits, and the side of its images in pixels where that can be chosen."""

    name: Name
    split_seed: Seed = 0
    image_size: int | None = Field(default=None, ge=8, le=1024)

    @model_validator(mode="after")
    def _exists(self) -> "DatasetSpec":
        _known(self.name, plugins.DATASETS, "data set")
        if self.options.keys() - plugins.data_options(self.name):
            raise ValueError(f"data set '{self.name}' has images of one size only: leave image_size out")
        return self

    @property
    def options(self) -> dict[str, int]:
        """Keyword arguments of the data set's ``load``, beside the seed."""
        return {} if self.image_size is None else {"image_size": self.image_size}


class Training(Strict):
    """How base networks are trained; the fields of bench.training.loop.Recipe, but the last three.

    With ``weights`` (bench.training.pretrained) they are loaded instead; the rest then says how these were trained,
    from which the schedules of fine-tuning and of training from scratch follow. Without ``weights_sha256``, another
    file under the same name goes unnoticed. ``source`` says where the recipe is published; no result depends on it.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "step", "step_last_fifth", "step_thirds", "step_100k", "cosine", "inv", "poly"] = (
        "cosine"
    )
    augment: tuple[Literal["resized_crop", "shift", "crop", "flip"], ...] = ()
    precision: Literal["fp32", "bf16"] = "fp32"
    weights: str | None = None
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")] | None = None
    source: str = "our choice"


class TrainingTable(Strict):
    """The default recipe, and by model label or family what differs from it."""

    default: Training
    models: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _overrides_fit(self) -> "TrainingTable":
        for name, override in self.models.items():
            for key in override.keys() - Training.model_fields.keys():
                allowed = ", ".join(Training.model_fields)
                raise ValueError(f"models.{name}.{key} is not a known key: allowed are {allowed}")
            self.of(name)
        return self

    def of(self, *names: str) -> Training:
        """The recipe of a model, the later of ``names`` overriding the earlier."""
        merged = self.default.model_dump()
        for name in names:
            merged |= self.models.get(name, {})
        return Training(**merged)


class Finetuning(Strict):
    """The base recipe with other epochs, and its learning rate times a factor (NISP: a tenth).

    ``tuned_factors`` are those that the recovery finetune_tuned tries, the best on validation images counting.
    """

    epochs: int = Field(ge=1)
    learning_rate_factor: float = Field(default=0.1, gt=0, le=1)
    tuned_factors: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(default=(0.01, 0.03, 0.1, 0.3), min_length=1)

    _each_once = field_validator("tuned_factors")(distinct)


class FinetuningTable(Finetuning):
    """Fine-tuning of all models, and by model label or family what differs from it."""

    models: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _overrides_fit(self) -> "FinetuningTable":
        for name in self.models:
            self.of(name)
        return self

    def of(self, *names: str) -> Finetuning:
        """Fine-tuning of a model, the later of ``names`` overriding the earlier."""
        merged = self.model_dump(exclude={"models"})
        for name in names:
            merged |= self.models.get(name, {})
        return Finetuning(**merged)


class ModelSpec(Strict):
    """A model family and, where it comes in several, a depth."""

    name: Name
    depth: int | None = None

    @model_validator(mode="after")
    def _exists(self) -> "ModelSpec":
        _known(self.name, plugins.MODELS, "model")
        depths = plugins.depths(self.name)
        if self.depth is None and depths:
            raise ValueError(f"model '{self.name}' needs a depth: one of {', '.join(map(str, depths))}")
        if self.depth is not None and self.depth not in depths:
            allowed = f"one of {', '.join(map(str, depths))}" if depths else "none, for it has one depth only"
            raise ValueError(f"model '{self.name}' has no depth {self.depth}: choose {allowed}")
        return self

    @property
    def label(self) -> str:
        """Name and depth in one word: plain-6."""
        return self.name if self.depth is None else f"{self.name}-{self.depth}"


class PlanSpec(Strict):
    """What a pruning ratio r takes from each layer.

    layers      pattern of layer names (as in a shell: * also matches dots) -> factor on r, which gives the share of
                channels that the layer loses. A later pattern overrides an earlier one; layers without any stay whole
    budget      channels: r is the share of channels. macs: r is the share of the network's multiply-accumulates
                that goes, and the shares of channels are chosen to meet it
    allocation  how a budget of macs is shared out. uniform: the same share of channels of each layer (times its
                factor). scores: the channels that score lowest in the whole network by the method's own criterion, each
                score divided by the mean of its layer. Or a criterion's name: the same, for every method by that one
    floor       share of a layer's channels that an allocation by scores leaves at least
    rounding    of a number of channels to keep that is no whole number
    """

    layers: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default={"*": 1.0}, min_length=1)
    budget: Literal["channels", "macs"] = "channels"
    allocation: str = "uniform"
    floor: float = Field(default=0.1, ge=0, lt=1)
    rounding: Literal["nearest", "down"] = "nearest"

    @model_validator(mode="after")
    def _allocation_exists(self) -> "PlanSpec":
        if self.allocation not in ("uniform", "scores"):
            _known(self.allocation, plugins.CRITERIA, "allocation (neither uniform nor scores, so a criterion)")
        if self.by_scores and self.budget != "macs":
            raise ValueError(f"an allocation by {self.allocation} needs the budget macs")
        return self

    @property
    def by_scores(self) -> bool:
        """Whether the shapes are known only when channels have been scored."""
        return self.allocation != "uniform"


class MethodSpec(Strict):
    """criterion + reconstruction + recovery, all at once or in ``steps`` equal parts of the pruning.

    With several steps, each removes its part, reconstructs and recovers, with an equal part of the epochs; channels
    are then scored anew, unless ``rescore`` is false: the scores of the unpruned network then decide all steps.
    """

    criterion: Name
    options: dict[str, Any] = {}
    reconstruction: Reconstruction = "none"
    recovery: Recovery = "none"
    steps: int = Field(default=1, ge=1, le=100)
    rescore: bool = True

    @model_validator(mode="after")
    def _steps_recover(self) -> "MethodSpec":
        if self.steps > 1 and self.recovery.startswith("scratch"):
            raise ValueError(
                f"recovery {self.recovery} trains random weights, so {self.steps} steps would be lost on it"
            )
        if self.steps == 1 and not self.rescore:
            raise ValueError("rescore: false says something about several steps only")
        return self

    @model_validator(mode="after")
    def _exists(self) -> "MethodSpec":
        _known(self.criterion, plugins.CRITERIA, "criterion")
        _check_options(f"criterion '{self.criterion}'", self.options, plugins.options(self.criterion))
        return self


class RankingSpec(Strict):
    """How the final responses are ranked for WARE's weights: a file in nisp/rankings, and its options."""

    name: Name
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _exists(self) -> "RankingSpec":
        _known(self.name, plugins.RANKINGS, "ranking")
        _check_options(f"ranking '{self.name}'", self.options, plugins.ranking_options(self.name))
        return self


def _check_options(owner: str, options: Mapping[str, Any], allowed: Mapping[str, str]) -> None:
    for option, value in options.items():
        if option not in allowed:
            raise ValueError(f"{owner} has no option '{option}': it takes {', '.join(allowed) or 'none'}")
        if not _is_of(value, allowed[option]):
            raise ValueError(f"option '{option}' must be of type {allowed[option]} (given: {value!r:.80})")


def _is_of(value: Any, kind: str) -> bool:
    """Whether an option has the type that its annotation names; of other annotations, nothing is known."""
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"bool": bool, "str": str}.get(kind, object))


class Compositions(Strict):
    """Every combination of criteria, reconstructions and recoveries, as methods."""

    criteria: tuple[Name, ...] = Field(min_length=1)
    reconstructions: tuple[Reconstruction, ...] = Field(default=("none",), min_length=1)
    recoveries: tuple[Recovery, ...] = Field(default=("recalibrate",), min_length=1)

    _each_once = field_validator("criteria", "reconstructions", "recoveries")(distinct)

    @property
    def methods(self) -> dict[str, MethodSpec]:
        """Label -> method: the parts joined by +, without what is not done and with recalibration unsaid."""
        unsaid = {"none": "", "least_squares": "+ls"}
        return {
            f"{criterion}{unsaid[reconstruction]}{'' if recovery == 'recalibrate' else f'+{recovery}'}": MethodSpec(
                criterion=criterion, reconstruction=reconstruction, recovery=recovery
            )
            for criterion, reconstruction, recovery in product(self.criteria, self.reconstructions, self.recoveries)
        }


class Experiment(Strict):
    """A grid: data sets (all of the suite, if none is named) x models x seeds x plans x ratios x methods.

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
        """Labels of all its methods, each once."""
        return tuple(dict.fromkeys([*self.named, *(self.compositions.methods if self.compositions else ())]))


class Question(Strict):
    """A claim, the comparison that decides it, and its primary metric: fixed before anything is run.

    difference      subject is better than each of ``against``, in the mean over ``ratios``, model by model
    noninferiority  subject is at most ``margin`` worse than each of ``against`` ('base' is the unpruned network),
                    for every model and ratio
    slope           subject changes less for the worse with each further layer than each of ``against``
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
            raise ValueError(f"question '{self.id}' compares '{self.subject}' with itself, or the unpruned network")
        if "base" in self.against and not self.metric.startswith(("top1", "top5")):
            raise ValueError(f"the unpruned network has no {self.metric} to compare with: choose a top1 or top5 metric")
        return self

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"metric '{metric}' is unknown: choose one of {', '.join(METRICS)}")
        return metric
