"""What one job of a suite does: train base networks, or carry out the runs of one batch."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

import torch
from torch import nn

from bench import plugins
from bench.data import Dataset
from bench.devices import device
from bench.experiment import Base, Cut, Method, Protocol, Ranking, prepared, run
from bench.pretrained import load_pretrained
from bench.progress import Progress
from bench.provenance import origin
from bench.records import Store, load_record, save_record
from bench.specs import ModelSpec
from bench.suite import Run, Suite
from bench.tensors import load_dataset, load_weights, save_weights
from bench.training import Recipe, train


def recipe(suite: Suite, model: ModelSpec) -> Recipe:
    """How the base networks of ``model`` are trained."""
    return Recipe(**suite.recipe(model).model_dump(exclude={"weights", "weights_sha256", "source"}))


def protocol(suite: Suite, model: ModelSpec) -> Protocol:
    """What all methods of the suite share."""
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
    """The composition called ``label``, its criterion imported."""
    spec = suite.methods[label]
    score = plugins.load(plugins.CRITERIA, spec.criterion).score
    return Method(score, spec.options, spec.reconstruction, spec.recovery, spec.steps, spec.rescore)


def cut(suite: Suite, run: Run) -> Cut:
    """How much a run takes from where, the criterion that allocates imported."""
    plan = suite.plans[run.plan]
    named = plan.allocation in plugins.available(plugins.CRITERIA)
    return Cut(plan, run.ratio, plugins.load(plugins.CRITERIA, plan.allocation).score if named else None)


def untrained(model: ModelSpec, dataset: Dataset, seed: int) -> nn.Module:
    """A network with the random weights of ``seed``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return plugins.load(plugins.MODELS, model.name).build(
            model.depth, dataset.in_channels, dataset.image_size, dataset.classes
        )


def train_bases(suite: Suite, store: Store, dataset_name: str, model: ModelSpec, seeds: Sequence[int]) -> None:
    """Train the base network of every seed that is not stored yet, or load its weights where the suite names some."""
    dataset = load_dataset(store.data(dataset_name)).to(device())
    progress = Progress(f"training {model.label} on {dataset_name}", len(seeds))
    for seed in seeds:
        path = store.base(dataset_name, model.label, seed)
        digest = suite.base_digest(dataset_name, model, seed)
        net = untrained(model, dataset, seed).to(device())
        if not load_weights(path, net, digest):
            spec = suite.recipe(model)
            if spec.weights is not None:
                load_pretrained(net, spec.weights, spec.weights_sha256)
            else:
                train(net, dataset, recipe(suite, model), seed, checkpoint=path.with_suffix(f".{digest}.checkpoint"))
            save_weights(path, net, digest)
        progress.step()


def run_batch(suite: Suite, store: Store, runs: Sequence[Run], ranking: Ranking) -> None:
    """Carry out every run that has no record yet; each record is written as soon as it is measured."""
    missing = [r for r in runs if load_record(store.record_of(r), suite.run_digest(r)) is None]
    if not missing:
        return
    progress = Progress(f"pruning {missing[0].model.label} on {missing[0].dataset}", len(missing))
    dataset = load_dataset(store.data(missing[0].dataset)).to(device())
    missing.sort(key=lambda r: (r.model.label, r.seed))
    for (_, seed), group in groupby(missing, key=lambda r: (r.model.label, r.seed)):
        runs_of_base = list(group)
        base = stored_base(suite, store, dataset, runs_of_base[0].model, seed, ranking)
        for r in runs_of_base:
            record = store.record_of(r)
            checkpoint = record.with_name(f"{record.stem}.{suite.run_digest(r)}.checkpoint")
            result = run(base, method(suite, r.method), protocol(suite, r.model), cut(suite, r), r.seed, checkpoint)
            measured = {
                "row": result.row,
                "curve": [asdict(epoch) for epoch in result.curve],
                "refits": [asdict(refit) for refit in result.refits],
                "keep": result.keep,
            }
            save_record(record, suite.run_digest(r), measured, origin(device().type))
            progress.step()


def stored_base(suite: Suite, store: Store, dataset: Dataset, model: ModelSpec, seed: int, ranking: Ranking) -> Base:
    """A trained base network from the store; it is trained again if its file is broken."""
    path = store.base(dataset.name, model.label, seed)
    net = untrained(model, dataset, seed).to(device())
    if not load_weights(path, net, suite.base_digest(dataset.name, model, seed)):
        train_bases(suite, store, dataset.name, model, [seed])
        load_weights(path, net, suite.base_digest(dataset.name, model, seed))
    return prepared(net, dataset, ranking)
