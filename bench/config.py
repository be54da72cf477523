"""Suite files: YAML, validated into frozen objects before any job starts."""

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bench import plugins
from bench.errors import UserError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_+.-]*$", max_length=64)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
METRICS = ("top1_pruned", "top1_recalibrated", "top1_final", "ware", "agreement_top1", "score_seconds")


TRAINING_CODE = ("bench/augment.py", "bench/measure.py", "bench/schedule.py", "bench/training.py")
PRUNING_CODE = (
    "bench/contract.py", "bench/experiment.py", "bench/patches.py", "bench/reconstruction.py", "bench/surgery.py",
    "baselines/_greedy.py", "nisp/absolute.py", "nisp/inf_fs.py", "nisp/propagation.py", "nisp/responses.py",
)  # fmt: skip


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known(name: str, folders: tuple[str, ...], what: str) -> str:
    names = plugins.available(folders)
    if name not in names:
        raise ValueError(f"{what} '{name}' is unknown: choose one of {', '.join(names)}")
    return name


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    doubles = [value for index, value in enumerate(values) if value in values[:index]]
    if doubles:
        raise ValueError(f"{doubles[0]} is given twice")
    return values


class DatasetSpec(Strict):
    name: Name
    split_seed: Seed = 0

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        return _known(name, plugins.DATASETS, "data set")


class Training(Strict):
    """How base networks are trained; the fields of bench.training.Recipe."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["constant", "step", "cosine", "inv"] = "cosine"
    augment: tuple[Literal["shift", "crop", "flip"], ...] = ()
    precision: Literal["fp32", "bf16"] = "fp32"


class TrainingTable(Strict):
    """The default recipe, and by model label or family what differs from it."""

    default: Training
    models: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _overrides_fit(self) -> "TrainingTable":
        for name in self.models:
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
        for option in self.options:
            if option not in allowed:
                listed = ", ".join(allowed) or "none"
                raise ValueError(f"criterion '{self.criterion}' has no option '{option}': it takes {listed}")
        return self


class Experiment(Strict):
    """A grid: models x seeds x ratios x methods, on every data set of the suite."""

    name: Name
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field(min_length=1)
    ratios: tuple[Ratio, ...] = Field(min_length=1)
    methods: tuple[Name, ...] = Field(min_length=1)

    _each_once = field_validator("seeds", "ratios", "methods", "models")(_distinct)


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

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, metric: str) -> str:
        if metric not in METRICS:
            raise ValueError(f"metric '{metric}' is unknown: choose one of {', '.join(METRICS)}")
        return metric


class Run(Strict):
    """One row of runs.csv."""

    dataset: str
    model: ModelSpec
    seed: int
    method: str
    ratio: float


Axis = Literal["seed", "method", "ratio"]


class Suite(Strict):
    suite: Name
    title: str
    description: str = ""
    datasets: tuple[DatasetSpec, ...] = Field(min_length=1)
    training: TrainingTable
    finetune: Finetuning
    scratch_b_limit: float = Field(default=2.0, ge=1)
    calibration_images: int = Field(default=500, ge=2)
    large_batch: int = Field(default=128, ge=2)
    methods: dict[Name, MethodSpec]
    experiments: tuple[Experiment, ...] = Field(min_length=1)
    questions: tuple[Question, ...] = ()
    bundle: tuple[Axis, ...] = ()
    """Axes that one job runs through; the rest make one job each."""

    _each_once = field_validator("bundle")(_distinct)

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> "Suite":
        for experiment in self.experiments:
            for method in experiment.methods:
                if method not in self.methods:
                    allowed = ", ".join(self.methods)
                    raise ValueError(f"experiment '{experiment.name}' names the method '{method}': choose of {allowed}")
        labels = {model.label for model in self.models}
        cells = {(run.model.label, run.method, run.ratio) for run in self.runs}
        for question in self.questions:
            for label in question.models:
                if label not in labels:
                    allowed = ", ".join(sorted(labels))
                    raise ValueError(f"question '{question.id}' names the model '{label}': choose of {allowed}")
                for method in {question.subject, *question.against} - {"base"}:
                    for ratio in question.ratios:
                        if (label, method, ratio) not in cells:
                            raise ValueError(
                                f"question '{question.id}' compares '{method}' on '{label}' at ratio {ratio:g}, "
                                "which no experiment runs"
                            )
        return self

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every row of runs.csv, each once."""
        grid = {
            (dataset.name, model, seed, method, ratio): None
            for experiment in self.experiments
            for dataset in self.datasets
            for model in experiment.models
            for seed in experiment.seeds
            for method in experiment.methods
            for ratio in experiment.ratios
        }
        return tuple(Run(dataset=d, model=m, seed=s, method=k, ratio=r) for d, m, s, k, r in grid)

    @cached_property
    def models(self) -> tuple[ModelSpec, ...]:
        """Every model, each once."""
        return tuple(dict.fromkeys(model for experiment in self.experiments for model in experiment.models))

    def recipe(self, model: ModelSpec) -> Training:
        return self.training.of(model.name, *([model.label] if model.label != model.name else []))

    def batch(self, run: Run, axes: tuple[str, ...] = ("seed", "method", "ratio")) -> tuple[str, ...]:
        """Which job does a run: data set, model, then a token an axis, 'all' where the axis is bundled."""
        values = {"seed": str(run.seed), "method": run.method, "ratio": f"{run.ratio:g}"}
        return run.dataset, run.model.label, *("all" if axis in self.bundle else values[axis] for axis in axes)

    def batches(self, axes: tuple[str, ...] = ("seed", "method", "ratio")) -> dict[tuple[str, ...], list[Run]]:
        """Job -> the runs that it does."""
        grouped: dict[tuple[str, ...], list[Run]] = {}
        for run in self.runs:
            grouped.setdefault(self.batch(run, axes), []).append(run)
        return grouped

    def base_digest(self, dataset: str, model: ModelSpec, seed: int) -> str:
        """Fingerprint of all that a trained base network depends on, the code included."""
        spec = next(spec for spec in self.datasets if spec.name == dataset)
        code = plugins.fingerprint(TRAINING_CODE, plugins.DATASETS, dataset, plugins.MODELS, model.name)
        return _digest([spec.model_dump(), model.model_dump(), self.recipe(model).model_dump(), seed, code])

    def run_digest(self, run: Run) -> str:
        """Fingerprint of all that one record depends on, the code included."""
        base = self.base_digest(run.dataset, run.model, run.seed)
        method = self.methods[run.method]
        code = plugins.fingerprint(PRUNING_CODE, plugins.CRITERIA, method.criterion)
        shared = [self.finetune.model_dump(), self.scratch_b_limit, self.calibration_images]
        return _digest([base, method.model_dump(), run.ratio, shared, code])

    def batch_digest(self, job: tuple[str, ...]) -> str:
        """Fingerprint of all runs of one job."""
        return _digest([self.run_digest(run) for run in self.batches()[job]])

    @property
    def latency_digest(self) -> str:
        """Fingerprint of the shapes whose latency is measured."""
        cells = dict.fromkeys((run.dataset, run.model.label, run.ratio) for run in self.runs)
        return _digest([list(map(list, cells)), self.large_batch])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


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
