"""Base networks of a suite: built, trained or loaded, and stored."""

from collections.abc import Sequence

import torch
from torch import nn

from bench.data import Dataset
from bench.runs.progress import Progress
from bench.runs.records import Store
from bench.runs.stored_tensors import load_dataset, load_weights, save_weights
from bench.suite import plugins
from bench.suite.schema import Suite
from bench.suite.settings import at_home
from bench.suite.specs import ModelSpec
from bench.training.arithmetic import resolved
from bench.training.devices import device
from bench.training.loop import Recipe, train
from bench.training.pretrained import load_pretrained
from bench.training.streams import stream


def recipe(suite: Suite, model: ModelSpec) -> Recipe:
    """How the base networks of ``model`` are trained, in the precision that ``auto`` stands for on this device."""
    settings = suite.recipe(model).model_dump(exclude={"weights", "weights_sha256", "source"})
    return Recipe(**settings | {"precision": resolved(settings["precision"], device())})


def untrained(model: ModelSpec, dataset: Dataset, seed: int) -> nn.Module:
    """A network with the random weights of ``seed``."""
    with torch.random.fork_rng([]):
        torch.manual_seed(stream(seed, "initialisation"))
        return plugins.load(plugins.MODELS, model.name).build(
            model.depth, dataset.in_channels, dataset.image_size, dataset.classes
        )


def train_bases(suite: Suite, store: Store, dataset_name: str, model: ModelSpec, seeds: Sequence[int]) -> None:
    """Train the base network of every seed that is not stored yet, or load the weights that the suite names."""
    dataset = load_dataset(store.data(dataset_name)).to(device())
    progress = Progress(f"training {model.label} on {dataset_name}", len(seeds))
    for seed in seeds:
        path = store.base(dataset_name, model.label, seed)
        digest = suite.base_digest(dataset_name, model, seed)
        net = untrained(model, dataset, seed).to(device())
        if not load_weights(path, net, digest):
            spec = suite.recipe(model)
            if spec.weights is not None:
                load_pretrained(net, str(at_home(spec.weights)), spec.weights_sha256)
            else:
                train(
                    net,
                    dataset,
                    recipe(suite, model),
                    stream(seed, "training"),
                    checkpoint=path.with_suffix(f".{digest}.checkpoint"),
                )
            save_weights(path, net, digest)
        progress.step()


def stored_base(suite: Suite, store: Store, dataset: Dataset, model: ModelSpec, seed: int) -> nn.Module:
    """A trained base network from the store; it is trained again if its file is broken."""
    path = store.base(dataset.name, model.label, seed)
    net = untrained(model, dataset, seed).to(device())
    if not load_weights(path, net, suite.base_digest(dataset.name, model, seed)):
        train_bases(suite, store, dataset.name, model, [seed])
        load_weights(path, net, suite.base_digest(dataset.name, model, seed))
    return net
