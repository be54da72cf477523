"""A prune job: carries out the runs of one batch."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby

from bench.runs.base_network import Ranking, prepared
from bench.runs.bases import recipe, stored_base
from bench.runs.experiment import run
from bench.runs.progress import Progress
from bench.runs.provenance import origin
from bench.runs.records import Store, load_record, save_record
from bench.runs.setup import Method, Protocol, Target
from bench.runs.stored_tensors import load_dataset
from bench.suite import plugins
from bench.suite.grid import Run
from bench.suite.schema import Suite
from bench.suite.specs import ModelSpec
from bench.training.devices import device


def protocol(suite: Suite, model: ModelSpec) -> Protocol:
    """The settings that all methods of the suite share."""
    finetuning = suite.finetuning(model)
    return Protocol(
        base=recipe(suite, model),
        finetune_epochs=finetuning.epochs,
        learning_rate_factor=finetuning.learning_rate_factor,
        tuned_factors=finetuning.tuned_factors,
        calibration_images=suite.calibration_images,
        scratch_b_limit=suite.scratch_b_limit,
    )


def method(suite: Suite, label: str) -> Method:
    """The composition called ``label``, with its criterion imported."""
    spec = suite.methods[label]
    score = plugins.load(plugins.CRITERIA, spec.criterion).score
    return Method(score, spec.options, spec.reconstruction, spec.recovery, spec.steps, spec.rescore)


def ranking(suite: Suite) -> Ranking:
    """The suite's ranking of final responses, imported."""
    return partial(plugins.load(plugins.RANKINGS, suite.frl_ranking.name).rank, **suite.frl_ranking.options)


def target(suite: Suite, run: Run) -> Target:
    """The plan and ratio of a run, with the criterion that allocates imported."""
    plan = suite.plans[run.plan]
    named = plan.allocation in plugins.available(plugins.CRITERIA)
    return Target(plan, run.ratio, plugins.load(plugins.CRITERIA, plan.allocation).score if named else None)


def run_batch(suite: Suite, store: Store, runs: Sequence[Run]) -> None:
    """Carry out every run that has no record yet; each record is written as soon as it is measured."""
    missing = [r for r in runs if load_record(store.record_of(r), suite.run_digest(r)) is None]
    if not missing:
        return
    progress = Progress(f"pruning {missing[0].model.label} on {missing[0].dataset}", len(missing))
    dataset = load_dataset(store.data(missing[0].dataset)).to(device())
    missing.sort(key=lambda r: (r.model.label, r.seed))
    for (_, seed), group in groupby(missing, key=lambda r: (r.model.label, r.seed)):
        runs_of_base = list(group)
        net = stored_base(suite, store, dataset, runs_of_base[0].model, seed)
        base = prepared(net, dataset, ranking(suite))
        for r in runs_of_base:
            record = store.record_of(r)
            checkpoint = record.with_name(f"{record.stem}.{suite.run_digest(r)}.checkpoint")
            shared = protocol(suite, r.model)
            result = run(base, method(suite, r.method), shared, target(suite, r), r.seed, checkpoint)
            measured = {
                "row": result.row,
                "curve": [asdict(epoch) for epoch in result.curve],
                "refits": [asdict(refit) for refit in result.refits],
                "keep": result.keep,
            }
            made = origin(device().type) | {"precision": shared.base.precision}
            save_record(record, suite.run_digest(r), measured, made)
            progress.step()
