"""Neuron importance score propagation: s_k = |W_{k+1}|^T s_{k+1} for a whole network, by one backward pass."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from bench.contract import Group, Producer, Scores, kept_channels
from bench.errors import UserError
from nisp.absolute import AbsoluteNetwork


def propagate(
    model: nn.Module,
    example: Tensor,
    classifier: str,
    frl_scores: Tensor,
    groups: Sequence[Group],
    keep: Mapping[str, int] | None = None,
) -> Scores:
    """Scores of every group's channels from the scores of the final responses.

    example     one input, for its shape and device only
    frl_scores  shape (features,): importance of each input of the linear layer ``classifier``
    keep        group name -> channels to keep; a channel that is not kept propagates nothing further
                (the paper's joint pruning). None propagates the scores of all channels.

    A channel's score is the sum over the positions of its map, taken behind the batch norm that directly follows its
    layer, if any. A coupled group's score is the sum over the tensors its members write; members that are summands
    of the same addition write one tensor, which counts once. With ``keep``, the channels of a coupled group are known
    only when the backward pass has reached its first member, so that is where propagation stops; the later members
    of the group have by then passed on the scores of all their channels.

    Everything runs in float64: scores grow by many orders of magnitude with depth. ``model`` is left as it was.

    UserError if an operation has no rule, or if the scores are not one per final response.
    """
    zeros = torch.zeros_like(example[:1], dtype=torch.float64, requires_grad=True)
    members = list(dict.fromkeys(producer.name for group in groups for producer in group.producers))
    with _evaluating(model), _responses(model, members, classifier) as (responses, final), AbsoluteNetwork():
        model(zeros)
    if frl_scores.shape != final[0].shape[-1:]:
        raise UserError(f"{len(frl_scores)} scores were given for {final[0].shape[-1]} final responses")
    scores: Scores = {}
    for group in groups:
        axes = {producer.name: _channel_axis(model, producer.name) for producer in group.producers}
        _listen(group, responses, axes, scores, keep[group.name] if keep is not None else None)
    torch.autograd.grad((final[0] * frl_scores.to(final[0])).sum(), zeros)
    return {group.name: scores[group.name] for group in groups}


def _channel_axis(model: nn.Module, layer: str) -> int:
    """Dimension of a layer's output that its channels are in."""
    return -1 if isinstance(model.get_submodule(layer), nn.Linear) else 1


def _listen(
    group: Group, responses: Mapping[str, Tensor], axes: Mapping[str, int], scores: Scores, keep: int | None
) -> None:
    """Collect the gradients of a group's responses as they come, and stop those of pruned channels."""
    gradients: list[Tensor] = []
    parts: list[Tensor] = []

    def arrived(producer: Producer, gradient: Tensor) -> Tensor | None:
        if not any(_same(gradient, other) for other in gradients):
            gradients.append(gradient)
            parts.append(producer.per_channel(_per_output(gradient, axes[producer.name])))
        waiting.discard(producer.name)
        if waiting:
            return None
        score = torch.stack(parts).sum(0)
        scores[group.name] = score.cpu()
        if keep is None:
            return None
        pruned = torch.ones(len(score), dtype=torch.bool, device=gradient.device)
        pruned[kept_channels(score, keep)] = False
        outputs = producer.outputs.to(gradient.device)[pruned].flatten()
        return gradient.index_fill(axes[producer.name], outputs, 0)

    waiting = {producer.name for producer in group.producers}
    for producer in group.producers:
        responses[producer.name].register_hook(partial(arrived, producer))


def _per_output(gradient: Tensor, axis: int) -> Tensor:
    """Sum over all dimensions but the layer's outputs'."""
    return gradient.movedim(axis, 0).flatten(1).sum(1)


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)


@contextlib.contextmanager
def _responses(
    model: nn.Module, members: Sequence[str], classifier: str
) -> Iterator[tuple[dict[str, Tensor], list[Tensor]]]:
    """While open, a forward pass fills in each member's response and the final responses."""
    responses: dict[str, Tensor] = {}
    final: list[Tensor] = []

    def keep_output(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: responses.update({name: output})

    def behind_norm(norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        for name, response in responses.items():
            if response is inputs[0]:
                responses[name] = output

    layer = model.get_submodule(classifier)
    with contextlib.ExitStack() as stack:
        for name in members:
            stack.enter_context(model.get_submodule(name).register_forward_hook(keep_output(name)))
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                stack.enter_context(module.register_forward_hook(behind_norm))
        stack.enter_context(layer.register_forward_pre_hook(lambda _, inputs: final.append(inputs[0])))
        yield responses, final


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for every module; each one's own mode is put back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
