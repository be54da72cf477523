"""The modules that compute the responses of layers, and means of these over many images.

A layer's response is its output, behind the batch norm that directly reads it, if any: this is what disappears with a
channel.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from nisp.pruning.contract import Problem, Scores, channel_axis, evaluating
from nisp.pruning.inputs import Inputs, called
from nisp.pruning.layer_weights import count_outputs
from nisp.pruning.memory import in_batches

BATCH = 32
"""Images in memory at once; small, because of images of 224 pixels."""


def over_writers(problem: Problem, values: Mapping[str, Tensor]) -> Scores:
    """Scores by group: the sum, over all layers that write a channel, of their ``values``, shape (outputs,)."""
    return {
        group.name: torch.stack([each.per_channel(values[each.name]) for each in group.producers]).sum(0)
        for group in problem.groups
    }


def producers(problem: Problem) -> tuple[str, ...]:
    """Names of all layers that write channels of a group, without duplicates."""
    return tuple({producer.name: None for group in problem.groups for producer in group.producers})


@torch.no_grad()
def sites(problem: Problem) -> dict[str, str]:
    """Layer that writes a group -> the module whose output is its response: its batch norm, or itself.

    Layers that do not run in eval mode (auxiliary heads) are absent.
    """
    model = problem.model
    found: dict[str, str] = {}
    written: dict[int, tuple[str, Tensor]] = {}

    def wrote(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def note(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] = name
            written[id(output)] = name, output  # kept alive, so that no other tensor gets its id

        return note

    def read(norm: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if id(inputs[0]) in written:
                found[written[id(inputs[0])][0]] = norm

        return note

    handles = [model.get_submodule(name).register_forward_hook(wrote(name)) for name in producers(problem)]
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            handles.append(module.register_forward_pre_hook(read(name)))
    with _hooked(model, handles):
        model(problem.images[:1])
    return found


def scales(problem: Problem) -> dict[str, Tensor]:
    """Layer that writes a group -> the scale, shape (outputs,), of the batch norm behind it, if it has one."""
    model = problem.model
    behind = {name: model.get_submodule(site) for name, site in sites(problem).items() if site != name}
    return {name: norm.weight.detach() for name, norm in behind.items() if isinstance(norm.weight, Tensor)}


@torch.no_grad()
def mean_over_images(
    problem: Problem, images: int, reduce: Callable[[Tensor], Tensor], batch: int = BATCH
) -> dict[str, Tensor]:
    """Layer that writes a group -> mean of ``reduce`` over the first ``images`` calibration images, shape (outputs,).

    ``reduce`` gets responses behind a ReLU, shape (n, outputs, ...), and sums over images. Calibration images are in
    random order. A layer that the network does not run gets zeros.
    """
    model, chosen = problem.model, problem.images[:images]
    places = sites(problem)
    sizes = {name: count_outputs(model, name) for name in producers(problem)}
    sums = {name: torch.zeros(size, dtype=torch.float64) for name, size in sizes.items()}
    of_batch: dict[str, list[Tensor]] = {}

    def add(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def note(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            values = output.movedim(channel_axis(model.get_submodule(name)), 1)
            of_batch.setdefault(name, []).append(reduce(torch.relu(values)).double().cpu())

        return note

    handles = [model.get_submodule(site).register_forward_hook(add(name)) for name, site in places.items()]

    def run(images: Inputs) -> None:
        of_batch.clear()
        called(model, images)

    with _hooked(model, handles):
        for _ in in_batches(run, chosen, batch):
            for name, parts in of_batch.items():
                for part in parts:
                    sums[name] += part
    return {name: total / len(chosen) for name, total in sums.items()}


@contextlib.contextmanager
def _hooked(model: nn.Module, handles: list[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    """Eval mode; on exit, the hooks are removed."""
    try:
        with evaluating(model):
            yield
    finally:
        for handle in handles:
            handle.remove()
