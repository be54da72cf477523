"""The parts of a suite file: frozen objects that check what they are given."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from bench import plugins

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$", max_length=64)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
METRICS = ("top1_pruned", "top1_recalibrated", "top1_final", "ware", "agreement_top1", "score_seconds")


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
    """How base networks are trained; the fields of bench.training.Recipe, but the last two.

    With ``weights`` (bench.pretrained) they are loaded instead; the rest then tells how these were trained, from which
    the schedules of fine-tuning and of training from scratch follow. Without ``weights_sha256``, another file under the
    same name goes unnoticed.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "step", "cosine", "inv"] = "cosine"
    augment: tuple[Literal["resized_crop", "shift", "crop", "flip"], ...] = ()
    precision: Literal["fp32", "bf16"] = "fp32"
    weights: str | None = None
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")] | None = None


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
    """The base recipe with other epochs, and its learning rate times a factor (NISP: a tenth)."""

    epochs: int = Field(ge=1)
    learning_rate_factor: float = Field(default=0.1, gt=0, le=1)


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


class MethodSpec(Strict):
    """criterion + reconstruction + recovery."""

    criterion: Name
    options: dict[str, Any] = {}
    reconstruction: Literal["none", "least_squares"] = "none"
    recovery: Literal["none", "recalibrate", "finetune", "scratch_paper", "scratch_e", "scratch_b"] = "none"

    @model_validator(mode="after")
    def _exists(self) -> "MethodSpec":
        _known(self.criterion, plugins.CRITERIA, "criterion")
        allowed = plugins.options(self.criterion)
        for option, value in self.options.items():
            if option not in allowed:
                listed = ", ".join(allowed) or "none"
                raise ValueError(f"criterion '{self.criterion}' has no option '{option}': it takes {listed}")
            if not _is_of(value, allowed[option]):
                raise ValueError(f"option '{option}' must be of type {allowed[option]} (given: {value!r:.80})")
        return self


def _is_of(value: Any, kind: str) -> bool:
    """Whether an option has the type that its annotation names; of other annotations, nothing is known."""
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"bool": bool, "str": str}.get(kind, object))


class Experiment(Strict):
    """A grid: models x seeds x ratios x methods, on every data set of the suite."""

    name: Name
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    methods: tuple[Name, ...] = Field(min_length=1)

    _each_once = field_validator("seeds", "ratios", "methods", "models")(distinct)


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
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    higher_is_better: bool = True
    margin: float = Field(default=0.0, ge=0)

    _each_once = field_validator("against", "models", "ratios")(distinct)

    @model_validator(mode="after")
    def _compares_two(self) -> "Question":
        if self.subject == "base" or self.subject in self.against:
            raise ValueError(f"question '{self.id}' compares '{self.subject}' with itself, or the unpruned network")
        return self

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"metric '{metric}' is unknown: choose one of {', '.join(METRICS)}")
        return metric
