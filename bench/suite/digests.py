"""Fingerprints of results: digests of all settings (by value) and all code that decide them."""

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from pydantic import PrivateAttr

from bench.suite import plugins
from bench.suite.fingerprints import fingerprint
from bench.suite.grid import Grid, Job, Run
from bench.suite.specs import ModelSpec, PlanSpec


class Digests(Grid):
    """A grid with a fingerprint for every result, so that results of other settings or other code are recognised."""

    _known: dict[tuple[Any, ...], str] = PrivateAttr(default_factory=dict)

    def data_digest(self, dataset: str) -> str:
        """Fingerprint of everything that a data set's splits depend on, including code."""
        return self._once((dataset,), self._data_digest)

    def _data_digest(self, dataset: str) -> str:
        code = fingerprint("workflow/scripts/data.py", plugins.file_of(plugins.DATASETS, dataset))
        return _digest([self.dataset(dataset).model_dump(), code])

    def base_digest(self, dataset: str, model: ModelSpec, seed: int) -> str:
        """Fingerprint of everything that a trained base network depends on, including code."""
        return self._once((dataset, model, seed), self._base_digest)

    def _base_digest(self, dataset: str, model: ModelSpec, seed: int) -> str:
        recipe = self.recipe(model).model_dump(exclude={"source"})
        code = fingerprint("workflow/scripts/base.py", plugins.file_of(plugins.MODELS, model.name))
        return _digest([self.data_digest(dataset), model.model_dump(), recipe, seed, code])

    def run_digest(self, run: Run) -> str:
        """Fingerprint of everything that one record depends on, including code."""
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

    def _once(self, key: tuple[Any, ...], made: Callable[..., str]) -> str:
        """Computes a digest that many runs share only once."""
        if key not in self._known:
            self._known[key] = made(*key)
        return self._known[key]


def _in_order(plan: PlanSpec) -> list[Any]:
    """A plan as part of a digest. The order of its patterns matters: later ones override earlier ones."""
    return [plan.model_dump(exclude={"layers"}), list(plan.layers.items()), plan.by_scores]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
