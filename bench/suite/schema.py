"""A suite: a grid of runs, the jobs that carry them out, and the fingerprints that tell which are still valid."""

import hashlib
import json
from collections.abc import Collection, Iterable
from functools import cached_property
from itertools import product
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.suite import plugins
from bench.suite.fingerprints import fingerprint
from bench.suite.specs import (
    DatasetSpec,
    Experiment,
    Finetuning,
    FinetuningTable,
    MethodSpec,
    ModelSpec,
    Name,
    PlanSpec,
    Question,
    RankingSpec,
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
    plan: str
    ratio: float

    @property
    def target(self) -> str:
        """Plan and ratio in one word: 0.5, or macs@0.5."""
        return f"{self.ratio:g}" if self.plan == "uniform" else f"{self.plan}@{self.ratio:g}"


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
    finetune: FinetuningTable
    scratch_b_limit: float = Field(default=2.0, ge=1)
    calibration_images: int = Field(default=500, ge=2)
    large_batch: int = Field(default=128, ge=2)
    frl_ranking: RankingSpec = RankingSpec(name="inf_fs")
    named_methods: dict[Name, MethodSpec] = Field(default={}, alias="methods")
    named_plans: dict[Name, PlanSpec] = Field(default={}, alias="plans")
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
        if self.suite == "reference":
            raise ValueError("results/reference is taken: choose another name")
        distinct(tuple(f"method '{name.casefold()}'" for name in self.methods))
        distinct(tuple(f"question '{question.id}'" for question in self.questions))
        distinct(tuple(f"experiment '{experiment.name}'" for experiment in self.experiments))
        cells = len(self.datasets) * sum(
            len(e.models) * len(e.seeds) * len(e.methods) * len(e.plans) * len(e.ratios) for e in self.experiments
        )
        if cells > MOST_RUNS:
            raise ValueError(f"the experiments have {cells:,} runs, of which {MOST_RUNS:,} are allowed")
        return self

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> "Suite":
        if "uniform" in self.named_plans:
            raise ValueError("the plan uniform (every group loses the ratio) is always there: give yours another name")
        datasets = [dataset.name for dataset in self.datasets]
        for experiment in self.experiments:
            _all_known(f"experiment '{experiment.name}' names the data set", experiment.datasets, datasets)
            _all_known(f"experiment '{experiment.name}' names the method", experiment.named, self.methods)
            _all_known(f"experiment '{experiment.name}' names the plan", experiment.plans, self.plans)
            for label, spec in (experiment.compositions.methods if experiment.compositions else {}).items():
                if self.named_methods.get(label, spec) != spec:
                    raise ValueError(
                        f"experiment '{experiment.name}' composes '{label}', which methods give another sense"
                    )
        labels = {model.label for model in self.models}
        known = sorted(labels | {model.name for model in self.models})
        _all_known("training.models names the model", self.training.models, known)
        _all_known("finetune.models names the model", self.finetune.models, known)
        for run in self.runs:
            steps, epochs = self.methods[run.method].steps, self.finetuning(run.model).epochs
            if self.methods[run.method].recovery.startswith("finetune") and steps > epochs:
                raise ValueError(f"method '{run.method}' has {steps} steps, for which {epochs} epochs are too few")
        for question in self.questions:
            _all_known(f"question '{question.id}' names the model", question.models, sorted(labels))
            _all_known(f"question '{question.id}' names the plan", [question.plan], self.plans)
            for label, ratio in product(question.models, question.ratios):
                for method in {question.subject, *question.against} - {"base"}:
                    if (label, method, question.plan, ratio) not in self.seeds_of_cells:
                        cell = f"'{label}' at ratio {ratio:g}"
                        cell += "" if question.plan == "uniform" else f" of plan '{question.plan}'"
                        raise ValueError(
                            f"question '{question.id}' compares '{method}' on {cell}, which no experiment runs"
                        )
        return self

    @model_validator(mode="after")
    def _questions_can_be_answered(self) -> "Suite":
        """Statistics need two pairs at least, and a slope two depths; better told now than after the last run."""
        seeds = self.seeds_of_cells
        depths = {model.label: model.depth for model in self.models}
        for question in self.questions:
            if question.kind == "slope" and len({depths[label] for label in question.models}) < 2:
                raise ValueError(f"question '{question.id}' asks for a slope over depth, for which it needs two depths")
            for against, label, ratio in product(question.against, question.models, question.ratios):
                subject = seeds[label, question.subject, question.plan, ratio]
                if len(subject & seeds.get((label, against, question.plan, ratio), subject)) < 2:
                    raise ValueError(
                        f"question '{question.id}' compares '{question.subject}' with '{against}' on '{label}' at "
                        f"ratio {ratio:g}, which fewer than two common seeds run"
                    )
        return self

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
        """Every row of runs.csv, each once."""
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
        """(model label, method, plan, ratio) of every cell that is run -> its seeds."""
        seeds: dict[tuple[str, str, str, float], set[int]] = {}
        for run in self.runs:
            seeds.setdefault((run.model.label, run.method, run.plan, run.ratio), set()).add(run.seed)
        return seeds

    @cached_property
    def models(self) -> tuple[ModelSpec, ...]:
        """Every model, each once."""
        return tuple(dict.fromkeys(model for experiment in self.experiments for model in experiment.models))

    def recipe(self, model: ModelSpec) -> Training:
        """How base networks of ``model`` are trained."""
        return self.training.of(*_names(model))

    def finetuning(self, model: ModelSpec) -> Finetuning:
        """How pruned networks of ``model`` are fine-tuned."""
        return self.finetune.of(*_names(model))

    def job_of(self, run: Run) -> Job:
        """Which job does a run: data set, model, then seed, method and cut, 'all' where that axis is bundled."""
        values = {"seed": str(run.seed), "method": run.method, "ratio": run.target}
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
        code = fingerprint("workflow/scripts/data.py", plugins.file_of(plugins.DATASETS, dataset))
        return _digest([self.dataset(dataset).model_dump(), code])

    def base_digest(self, dataset: str, model: ModelSpec, seed: int) -> str:
        """Fingerprint of all that a trained base network depends on, the code included."""
        recipe = self.recipe(model).model_dump(exclude={"source"})
        code = fingerprint("workflow/scripts/base.py", plugins.file_of(plugins.MODELS, model.name))
        return _digest([self.data_digest(dataset), model.model_dump(), recipe, seed, code])

    def run_digest(self, run: Run) -> str:
        """Fingerprint of all that one record depends on, the code included."""
        method, plan = self.methods[run.method], self.plans[run.plan]
        plugs = [
            plugins.file_of(plugins.CRITERIA, method.criterion),
            plugins.file_of(plugins.RANKINGS, self.frl_ranking.name),
        ]
        if plan.allocation in plugins.available(plugins.CRITERIA):
            plugs.append(plugins.file_of(plugins.CRITERIA, plan.allocation))
        return _digest(
            [
                self.base_digest(run.dataset, run.model, run.seed),
                method.model_dump(),
                _in_order(plan),
                run.ratio,
                self.frl_ranking.model_dump(),
                self.finetuning(run.model).model_dump(),
                self.scratch_b_limit,
                self.calibration_images,
                fingerprint("workflow/scripts/prune.py", *plugs),
            ]
        )

    def prune_job_digest(self, job: Job) -> str:
        """Fingerprint of all runs of one job."""
        return _digest([self.run_digest(run) for run in self.prune_jobs[job]])

    def base_job_digest(self, job: Job) -> str:
        """Fingerprint of all base networks of one job."""
        return _digest([self.base_digest(*base) for base in self.base_jobs[job]])

    @cached_property
    def latency_cells(self) -> tuple[tuple[str, ModelSpec, str, float], ...]:
        """(data set, model, plan, ratio) of every shape that is known before anything is scored, each once."""
        return tuple(
            dict.fromkeys((r.dataset, r.model, r.plan, r.ratio) for r in self.runs if not self.plans[r.plan].by_scores)
        )

    @cached_property
    def allocated_runs(self) -> tuple[Run, ...]:
        """Runs whose shapes are known only from their records."""
        return tuple(run for run in self.runs if self.plans[run.plan].by_scores)

    @cached_property
    def latency_digest(self) -> str:
        """Fingerprint of the shapes whose latency is measured, and of the code that builds and times them."""
        models = [plugins.file_of(plugins.MODELS, model.name) for model in self.models]
        return _digest(
            [
                [dataset.model_dump() for dataset in self.datasets],
                [[d, m.label, _in_order(self.plans[p]), r] for d, m, p, r in self.latency_cells],
                [self.run_digest(run) for run in self.allocated_runs],
                self.large_batch,
                fingerprint("workflow/scripts/latency.py", *models),
            ]
        )


def _names(model: ModelSpec) -> tuple[str, ...]:
    """A model's family, and its label where that is another."""
    return tuple(dict.fromkeys([model.name, model.label]))


def _all_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{what} '{name}': choose of {', '.join(known)}")


def _in_order(plan: PlanSpec) -> list[Any]:
    """A plan as a digest takes it: the order of its patterns counts, for a later one overrides an earlier one."""
    return [plan.model_dump(exclude={"layers"}), list(plan.layers.items()), plan.by_scores]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
