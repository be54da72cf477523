"""A suite file as a whole: every name in it refers to something that exists, and every question can be answered."""

from collections.abc import Collection, Iterable
from itertools import product

from pydantic import model_validator

from bench.suite.digests import Digests
from bench.suite.fields import Name, distinct
from bench.suite.questions import Question

MOST_RUNS = 1_000_000


class Suite(Digests):
    """A suite file's content."""

    suite: Name
    title: str
    description: str = ""
    questions: tuple[Question, ...] = ()

    @model_validator(mode="after")
    def _can_be_planned(self) -> "Suite":
        """Names that become folders differ on every file system, and the grid is not too large."""
        if self.suite == "reference":
            raise ValueError("results/reference is taken: choose another name")
        distinct(tuple(f"method '{name.casefold()}'" for name in self.methods))
        distinct(tuple(f"question '{question.id}'" for question in self.questions))
        distinct(tuple(f"experiment '{experiment.name}'" for experiment in self.experiments))
        cells = len(self.datasets) * sum(
            len(e.models) * len(e.seeds) * len(e.methods) * len(e.plans) * len(e.ratios) for e in self.experiments
        )
        if cells > MOST_RUNS:
            raise ValueError(f"the experiments have {cells:,} runs; at most {MOST_RUNS:,} are allowed")
        return self

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> "Suite":
        if "uniform" in self.named_plans:
            raise ValueError("the plan name 'uniform' is taken (every group loses the ratio): choose another name")
        datasets = [dataset.name for dataset in self.datasets]
        for experiment in self.experiments:
            _all_known(f"experiment '{experiment.name}' names the data set", experiment.datasets, datasets)
            _all_known(f"experiment '{experiment.name}' names the method", experiment.named, self.methods)
            _all_known(f"experiment '{experiment.name}' names the plan", experiment.plans, self.plans)
            for label, spec in (experiment.compositions.methods if experiment.compositions else {}).items():
                if self.named_methods.get(label, spec) != spec:
                    raise ValueError(
                        f"experiment '{experiment.name}' composes '{label}', which methods defines differently"
                    )
        labels = {model.label for model in self.models}
        known = sorted(labels | {model.name for model in self.models})
        _all_known("training.models names the model", self.training.models, known)
        _all_known("finetune.models names the model", self.finetune.models, known)
        for run in self.runs:
            steps, epochs = self.methods[run.method].steps, self.finetuning(run.model).epochs
            if self.methods[run.method].recovery.startswith("finetune") and steps > epochs:
                raise ValueError(f"method '{run.method}' has {steps} steps, but only {epochs} epochs of fine-tuning")
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
        """Statistics need two seeds that have all that is averaged or fitted, and a slope two depths: checked now."""
        depths = {model.label: model.depth for model in self.models}
        for question in self.questions:
            if question.kind == "slope" and len({depths[label] for label in question.models}) < 2:
                raise ValueError(f"question '{question.id}' asks for a slope over depth, which needs two depths")
            together = [question.models] if question.kind == "slope" else [(label,) for label in question.models]
            for against, labels in product(question.against, together):
                cells = product(labels, question.ratios)
                if len(set.intersection(*(self._common_seeds(question, against, *cell) for cell in cells))) < 2:
                    ratios = ", ".join(f"{ratio:g}" for ratio in question.ratios)
                    raise ValueError(
                        f"question '{question.id}' compares '{question.subject}' with '{against}' on "
                        f"'{', '.join(labels)}' at ratio {ratios}, where they have fewer than two seeds in common"
                    )
        return self

    def _common_seeds(self, question: Question, against: str, label: str, ratio: float) -> set[int]:
        seeds = self.seeds_of_cells[label, question.subject, question.plan, ratio]
        return seeds & self.seeds_of_cells.get((label, against, question.plan, ratio), seeds)


def _all_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{what} '{name}', which is unknown: choose one of {', '.join(known)}")
