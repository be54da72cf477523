"""The grid of a suite: its runs, and the jobs that carry them out."""

from functools import cached_property
from typing import Literal

from pydantic import Field, field_validator

from bench.suite.experiments import Experiment
from bench.suite.fields import Name, Strict, distinct
from bench.suite.recipes import Finetuning, FinetuningTable, Training, TrainingTable
from bench.suite.specs import DatasetSpec, MethodSpec, ModelSpec, PlanSpec, RankingSpec


class Run(Strict):
    """One row of runs.csv."""

    dataset: str
    model: ModelSpec
    seed: int
    method: str
    plan: str
    ratio: float

    @property
    def target(self) -> str:
        """Plan and ratio in one word: 0.5, or macs@0.5."""
        return f"{self.ratio:g}" if self.plan == "uniform" else f"{self.plan}@{self.ratio:g}"


Axis = Literal["seed", "method", "ratio"]
Job = tuple[str, ...]


class Grid(Strict):
    """The part of a suite file that results depend on, and how its runs are divided into jobs."""

    datasets: tuple[DatasetSpec, ...] = Field(min_length=1)
    training: TrainingTable
    finetune: FinetuningTable
    scratch_b_limit: float = Field(default=2.0, ge=1)
    calibration_images: int = Field(default=500, ge=2)
    large_batch: int = Field(default=128, ge=2)
    frl_ranking: RankingSpec = RankingSpec(name="inf_fs")
    named_methods: dict[Name, MethodSpec] = Field(default={}, alias="methods")
    named_plans: dict[Name, PlanSpec] = Field(default={}, alias="plans")
    experiments: tuple[Experiment, ...] = Field(min_length=1)
    bundle: tuple[Axis, ...] = ()
    """Axes that a single job covers; every combination of the other axes is a separate job."""

    _each_once = field_validator("bundle")(distinct)

    @field_validator("datasets")
    @classmethod
    def _names_once(cls, datasets: tuple[DatasetSpec, ...]) -> tuple[DatasetSpec, ...]:
        distinct(tuple(dataset.name for dataset in datasets))
        return datasets

    @cached_property
    def methods(self) -> dict[str, MethodSpec]:
        """Label -> method: those that the suite names, then those that its experiments compose."""
        composed = {
            label: spec
            for experiment in self.experiments
            if experiment.compositions
            for label, spec in experiment.compositions.methods.items()
        }
        return {**self.named_methods, **composed}

    @cached_property
    def plans(self) -> dict[str, PlanSpec]:
        """Name -> plan; ``uniform``, where every group loses the ratio, is always there."""
        return {"uniform": PlanSpec(), **self.named_plans}

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """All rows of runs.csv, without duplicates."""
        grid = {
            (dataset.name, model, seed, method, plan, ratio): None
            for experiment in self.experiments
            for dataset in self.datasets
            if dataset.name in experiment.datasets or not experiment.datasets
            for model in experiment.models
            for seed in experiment.seeds
            for method in experiment.methods
            for plan in experiment.plans
            for ratio in experiment.ratios
        }
        return tuple(Run(dataset=d, model=m, seed=s, method=k, plan=p, ratio=r) for d, m, s, k, p, r in grid)

    @cached_property
    def seeds_of_cells(self) -> dict[tuple[str, str, str, float], set[int]]:
        """(model label, method, plan, ratio) -> seeds, for every cell that is run."""
        seeds: dict[tuple[str, str, str, float], set[int]] = {}
        for run in self.runs:
            seeds.setdefault((run.model.label, run.method, run.plan, run.ratio), set()).add(run.seed)
        return seeds

    @cached_property
    def models(self) -> tuple[ModelSpec, ...]:
        """All models, without duplicates."""
        return tuple(dict.fromkeys(model for experiment in self.experiments for model in experiment.models))

    def recipe(self, model: ModelSpec) -> Training:
        """How base networks of ``model`` are trained."""
        return self.training.of(*_names(model))

    def finetuning(self, model: ModelSpec) -> Finetuning:
        """How pruned networks of ``model`` are fine-tuned."""
        return self.finetune.of(*_names(model))

    def job_of(self, run: Run) -> Job:
        """The job of a run: data set, model, seed, method and target, with 'all' for bundled axes."""
        values = {"seed": str(run.seed), "method": run.method, "ratio": run.target}
        return run.dataset, run.model.label, *("all" if axis in self.bundle else values[axis] for axis in values)

    @cached_property
    def prune_jobs(self) -> dict[Job, list[Run]]:
        """Job -> its runs."""
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

    @cached_property
    def latency_cells(self) -> tuple[tuple[str, ModelSpec, str, float], ...]:
        """(data set, model, plan, ratio) of every shape known before scoring, without duplicates."""
        return tuple(
            dict.fromkeys((r.dataset, r.model, r.plan, r.ratio) for r in self.runs if not self.plans[r.plan].by_scores)
        )

    @cached_property
    def allocated_runs(self) -> tuple[Run, ...]:
        """Runs whose shapes are known only from their records."""
        return tuple(run for run in self.runs if self.plans[run.plan].by_scores)


def _names(model: ModelSpec) -> tuple[str, ...]:
    """A model's family, and its label if that differs."""
    return tuple(dict.fromkeys([model.name, model.label]))
