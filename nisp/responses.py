"""The final responses of a network: the inputs of its classifier."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nisp.errors import UserError
from nisp.pruning.contract import channel_axis
from nisp.pruning.inputs import Inputs, called, checked_inputs
from nisp.pruning.memory import in_batches
from nisp.pruning.wrappers import unwrapped

BATCH = 256


@torch.no_grad()
def final_responses(model: nn.Module, images: Inputs, classifier: str | Sequence[str], batch: int = BATCH) -> Tensor:
    """Inputs of the layer called ``classifier``, averaged over positions if there are any, shape (n, features).

    The features of several layers follow one another. Those of a layer that runs several times, such as a head that is
    shared by several resolutions, are averaged over its calls. The model runs in its current mode. A batch that does
    not fit in memory is halved.

    UserError if there is no such layer, or if it does not run.
    """
    model = unwrapped(model)
    read: dict[str, list[Tensor]] = {}

    def keep(name: str, axis: int) -> Callable[..., None]:
        def note(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            features = (inputs[0] if inputs else named["input"]).movedim(axis, 1)
            read[name].append(features.flatten(2).mean(2) if features.dim() > 2 else features.clone())

        return note

    names = [classifier] if isinstance(classifier, str) else classifier
    layers = dict(model.named_modules())
    for name in names:
        if name not in layers:
            raise UserError(f"'{name}' is not a layer of {type(model).__name__}")

    def responses(some: Inputs) -> Tensor:
        read.update((name, []) for name in names)
        called(model, some)
        return torch.cat([_mean_of_calls(model, name, read[name]) for name in names], 1)

    with contextlib.ExitStack() as stack:
        for name in names:
            hook = keep(name, channel_axis(layers[name]))
            stack.enter_context(layers[name].register_forward_pre_hook(hook, with_kwargs=True))
        return torch.cat(list(in_batches(responses, checked_inputs(images, "the calibration images"), batch)))


def _mean_of_calls(model: nn.Module, name: str, calls: list[Tensor]) -> Tensor:
    if not calls:
        raise UserError(f"'{name}' is not called when {type(model).__name__} runs")
    return calls[0] if len(calls) == 1 else torch.stack(calls).mean(0)
