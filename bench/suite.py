"""A suite: a grid of runs, the jobs that carry them out, and the fingerprints that tell which are still valid."""

import hashlib
import json
from functools import cached_property
from itertools import product
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from bench import plugins
from bench.specs import (
    DatasetSpec,
    Experiment,
    Finetuning,
    MethodSpec,
    ModelSpec,
    Name,
    Question,
    Strict,
    Training,
    TrainingTable,
    distinct,
)


class Run(Strict):
    """One row of runs.csv."""

    dataset: str
    model: ModelSpec
    seed: int
    method: str
    ratio: float


Axis = Literal["seed", "method", "ratio"]
Job = tuple[str, ...]
MOST_RUNS = 1_000_000


class Suite(Strict):
    """A suite file's content; every name in it refers to something that exists."""

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

    _each_once = field_validator("bundle")(distinct)

    @field_validator("datasets")
    @classmethod
    def _names_once(cls, datasets: tuple[DatasetSpec, ...]) -> tuple[DatasetSpec, ...]:
        distinct(tuple(dataset.name for dataset in datasets))
        return datasets

    @model_validator(mode="after")
    def _can_be_planned(self) -> "Suite":
        """Names that become folders are apart on every file system, and the grid is one that can be laid out."""
        if self.suite in ("reference", "paper"):
            raise ValueError(f"results/{self.suite} is taken: choose another name")
        distinct(tuple(f"method '{name.casefold()}'" for name in self.methods))
        distinct(tuple(f"question '{question.id}'" for question in self.questions))
        distinct(tuple(f"experiment '{experiment.name}'" for experiment in self.experiments))
        cells = len(self.datasets) * sum(
            len(e.models) * len(e.seeds) * len(e.methods) * len(e.ratios) for e in self.experiments
        )
        if cells > MOST_RUNS:
            raise ValueError(f"the experiments have {cells:,} runs, of which {MOST_RUNS:,} are allowed")
        return self

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> "Suite":
        for experiment in self.experiments:
            for method in experiment.methods:
                if method not in self.methods:
                    allowed = ", ".join(self.methods)
                    raise ValueError(f"experiment '{experiment.name}' names the method '{method}': choose of {allowed}")
        labels = {model.label for model in self.models}
        known = labels | {model.name for model in self.models}
        for name in self.training.models:
            if name not in known:
                raise ValueError(f"training.models names the model '{name}': choose of {', '.join(sorted(known))}")
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

    @model_validator(mode="after")
    def _questions_can_be_answered(self) -> "Suite":
        """Statistics need two pairs at least, and a slope two depths; better told now than after the last run."""
        seeds: dict[tuple[str, str, float], set[int]] = {}
        for run in self.runs:
            seeds.setdefault((run.model.label, run.method, run.ratio), set()).add(run.seed)
        depths = {model.label: model.depth for model in self.models}
        for question in self.questions:
            if question.kind == "slope" and len({depths[label] for label in question.models}) < 2:
                raise ValueError(f"question '{question.id}' asks for a slope over depth, for which it needs two depths")
            for against, label, ratio in product(question.against, question.models, question.ratios):
                subject = seeds[label, question.subject, ratio]
                if len(subject & seeds.get((label, against, ratio), subject)) < 2:
                    raise ValueError(
                        f"question '{question.id}' compares '{question.subject}' with '{against}' on '{label}' at "
                        f"ratio {ratio:g}, which fewer than two common seeds run"
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
        """How base networks of ``model`` are trained."""
        return self.training.of(model.name, *([model.label] if model.label != model.name else []))

    def job_of(self, run: Run) -> Job:
        """Which job does a run: data set, model, then seed, method and ratio, 'all' where that axis is bundled."""
        values = {"seed": str(run.seed), "method": run.method, "ratio": f"{run.ratio:g}"}
        return run.dataset, run.model.label, *("all" if axis in self.bundle else values[axis] for axis in values)

    @cached_property
    def prune_jobs(self) -> dict[Job, list[Run]]:
        """Job -> the runs that it does."""
        jobs: dict[Job, list[Run]] = {}
        for run in self.runs:
            jobs.setdefault(self.job_of(run), []).append(run)
        return jobs

    @cached_property
    def base_jobs(self) -> dict[Job, list[tuple[str, ModelSpec, int]]]:
        """Job (data set, model, seed or 'all') -> the base networks that it trains."""
        jobs: dict[Job, dict[tuple[str, ModelSpec, int], None]] = {}
        for run in self.runs:
            jobs.setdefault(self.job_of(run)[:3], {})[run.dataset, run.model, run.seed] = None
        return {job: list(bases) for job, bases in jobs.items()}

    def dataset(self, name: str) -> DatasetSpec:
        """The data set called ``name``."""
        return next(spec for spec in self.datasets if spec.name == name)

    def data_digest(self, dataset: str) -> str:
        """Fingerprint of all that a data set's splits depend on, the code included."""
        return _digest([self.dataset(dataset).model_dump(), plugins.fingerprint((), plugins.DATASETS, dataset)])

    def base_digest(self, dataset: str, model: ModelSpec, seed: int) -> str:
        """Fingerprint of all that a trained base network depends on, the code included."""
        spec = self.dataset(dataset)
        code = plugins.fingerprint(("bench/training.py",), plugins.DATASETS, dataset, plugins.MODELS, model.name)
        return _digest([spec.model_dump(), model.model_dump(), self.recipe(model).model_dump(), seed, code])

    def run_digest(self, run: Run) -> str:
        """Fingerprint of all that one record depends on, the code included."""
        base = self.base_digest(run.dataset, run.model, run.seed)
        method = self.methods[run.method]
        code = plugins.fingerprint(("bench/experiment.py",), plugins.CRITERIA, method.criterion)
        shared = [self.finetune.model_dump(), self.scratch_b_limit, self.calibration_images]
        return _digest([base, method.model_dump(), run.ratio, shared, code])

    def prune_job_digest(self, job: Job) -> str:
        """Fingerprint of all runs of one job."""
        return _digest([self.run_digest(run) for run in self.prune_jobs[job]])

    def base_job_digest(self, job: Job) -> str:
        """Fingerprint of all base networks of one job."""
        return _digest([self.base_digest(*base) for base in self.base_jobs[job]])

    @property
    def latency_digest(self) -> str:
        """Fingerprint of the shapes whose latency is measured."""
        cells = dict.fromkeys((run.dataset, run.model.label, run.ratio) for run in self.runs)
        return _digest([list(map(list, cells)), self.large_batch])


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
