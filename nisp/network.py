"""The layers that run in one forward pass, and the signals of the absolute network that they read and write."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import nisp.rules  # noqa: F401  the table of rules
from nisp.absolute import Pass, Response, Unmeasured
from nisp.errors import UserError, first_line
from nisp.pruning.channels.constants import Constants
from nisp.pruning.channels.names import Names
from nisp.pruning.dispatch import Dispatched
from nisp.pruning.inputs import Inputs, called, checked_inputs, each_tensor, in_precision, precision_of
from nisp.pruning.layer_weights import LAYERS
from nisp.pruning.outputs import tensors_in
from nisp.pruning.undisturbed import undisturbed
from nisp.pruning.wrappers import unwrapped
from nisp.signals import Signal
from nisp.writes import refuse_outdated


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer: the signals that it read, made and wrote.

    ``wrote`` is behind the batch norm that alone reads what the layer made, if there is one; else it is that itself.
    """

    read: Signal
    made: Signal
    wrote: Signal


@dataclass(frozen=True)
class Trace:
    """One forward pass: the calls of each layer, in running order, and the outputs that depend on the input.

    source   what all inputs depend on, where the backward pass ends
    unnamed  what functions made whose weights belong to no layer
    frozen   the layers whose weights take no gradient
    """

    source: Signal
    runs: dict[str, list[LayerCall]]
    outputs: list[Signal]
    unnamed: list[Signal]
    frozen: frozenset[str]


def traced(model: nn.Module, example: Inputs) -> Trace:
    """Run ``model`` in eval mode on ``example``, inputs of shape (n, ...); the model is not changed.

    A layer is a convolution or linear module. It is recognised by its weight, even where another module uses that or
    something computed from it, output by output; or, where it computes its weight, by having just run.

    UserError if an operation has no rule, or if the network does not run on the example.
    """
    model, example = unwrapped(model), in_precision(checked_inputs(example), precision_of(model))
    for measuring in (False, True):
        with contextlib.suppress(Unmeasured):
            return _passed(model, example, measuring)
    raise AssertionError("a measuring pass has all values")


def _passed(model: nn.Module, example: Inputs, measuring: bool) -> Trace:
    run = Pass(measuring or _is_listened_to(model))
    computed: dict[Signal, str] = {}
    constants = Constants(Names(model), activations=Response)
    with torch.inference_mode(False), torch.no_grad(), undisturbed(model):
        inputs = each_tensor(example, lambda tensor: run.begun(tensor.detach().clone()))
        try:
            with _listening(model, computed, run.behind), constants, Dispatched(Response):
                outputs = called(model, inputs)
                for output in tensors_in(outputs):
                    if isinstance(output, Response):
                        refuse_outdated(output)
                derived = {id(w.weight): _layer_of(model, constants, w.weight) for w in run.weighings}
        except (UserError, Unmeasured):
            raise
        except Exception as error:
            raise _explained(model, example, error) from error
        finally:
            signals = {id(response): response.signal for response in map(_alive, run.made) if response is not None}
            run.ended()
    made = [signals[id(tensor)] for tensor in tensors_in(outputs) if id(tensor) in signals]
    names = {id(m.weight): name for name, m in model.named_modules() if isinstance(m, LAYERS)}
    runs: dict[str, list[LayerCall]] = {}
    unnamed = list(run.products)
    for weighing in run.weighings:
        name = names.get(id(weighing.weight)) or derived[id(weighing.weight)] or computed.get(weighing.made)
        if name is None:
            unnamed.append(weighing.made)
        else:
            followed = run.readers[weighing.made] == 1 and weighing.made not in made
            wrote = run.behind.get(weighing.made, weighing.made) if followed else weighing.made
            runs.setdefault(name, []).append(LayerCall(weighing.read, weighing.made, wrote))
    frozen = (name for name in runs if not any(p.requires_grad for p in model.get_submodule(name).parameters()))
    return Trace(run.source, runs, made, unnamed, frozenset(frozen))


def _layer_of(model: nn.Module, constants: Constants, weight: Tensor) -> str | None:
    """The layer from whose weight another one was computed, output by output; None if there is none."""
    for dim in range(weight.dim()):
        for name, axis in constants.along(weight, dim):
            layer, _, leaf = name.rpartition(".")
            owner = model.get_submodule(layer)
            outputs = int(isinstance(owner, nn.modules.conv._ConvTransposeNd))
            if isinstance(owner, LAYERS) and leaf == "weight" and axis == dim == outputs:
                return layer
    return None


def _alive(reference: Callable[[], Response | None]) -> Response | None:
    response = reference()
    return None if response is None or response.inert else response


def _is_listened_to(model: nn.Module) -> bool:
    """Whether hooks may keep activations, which must then have their real values."""
    return any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def _explained(model: nn.Module, example: Inputs, error: Exception) -> UserError:
    """Why a network could not be followed: it does not run at all, or it does something that no rule foresees."""
    try:
        called(model, example)
    except Exception as plain:
        return UserError(f"{type(model).__name__} does not run on the example: {first_line(plain)}")
    return UserError(f"NISP cannot follow {type(model).__name__}: {type(error).__name__}: {first_line(error)}")


@contextlib.contextmanager
def _listening(model: nn.Module, computed: dict[Signal, str], behind: dict[Signal, Signal]) -> Iterator[None]:
    """While open, a forward pass records the layer that computed a signal, and frozen batch norms' input -> output."""

    def layer_ran(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: Sequence[Any], output: Any) -> None:
            if isinstance(output, Response):
                computed[output.signal] = name

        return note

    def norm_ran(module: nn.Module, inputs: Sequence[Any], output: Any) -> None:
        if inputs and isinstance(inputs[0], Response) and isinstance(output, Response):
            behind.setdefault(inputs[0].signal, output.signal)

    handles = []
    for name, module in model.named_modules():
        if isinstance(module, LAYERS):
            handles.append(module.register_forward_hook(layer_ran(name)))
        elif all(isinstance(getattr(module, name, None), Tensor) for name in ("running_mean", "running_var")):
            handles.append(module.register_forward_hook(norm_ran))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
