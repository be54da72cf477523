"""Taylor: first-order estimate of the loss change without a channel (Molchanov et al. 2019).

Equation: score = mean over images of (∂L/∂g)²;  g = 1 is a gate, a factor on all responses of the channel,
    so ∂L/∂g = Σ over positions of response times gradient
Data: calibration images with their labels; L is an image's cross-entropy.
Cost: one forward and backward pass of the calibration images.
Deviations: gates are behind batch norm, as in the publication's best variant. A coupled group's channel has one gate
    on all its layers, so their terms are added before they are squared. Squares are of single images, not of batches,
    so the batch size does not matter. Channels are scored once, without training in between.
Pinned by: tests/baselines/test_rankings.py::test_taylor_is_the_derivative_by_a_factor_on_all_that_writes_a_channel
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from baselines._responses import BATCH, sites
from nisp.pruning.contract import Problem, Scores, channel_axis, evaluating
from nisp.pruning.layer_weights import count_outputs
from nisp.pruning.memory import in_batches


def score(problem: Problem) -> Scores:
    """Mean over images of the squared derivative of the loss with respect to a gate on all responses of a channel."""
    squares = {group.name: torch.zeros(group.channels, dtype=torch.float64) for group in problem.groups}
    places = sites(problem)
    data = problem.images, problem.labels
    with evaluating(problem.model):
        for gradients in in_batches(lambda some: _gradients(problem, places, *some), data, BATCH):
            for name, gradient in gradients.items():
                squares[name] += gradient.double().square().sum(0).cpu()
    return {name: total / len(problem.images) for name, total in squares.items()}


@torch.enable_grad()
def _gradients(problem: Problem, places: dict[str, str], images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Group name -> derivative of every image's cross-entropy by the channels' gates, shape (n, channels).

    A gate is a factor with the value 1. A coupled group's channel has one gate, on the outputs of all its layers.
    """
    model = problem.model
    gates = {
        group.name: torch.ones(len(images), group.channels, dtype=images.dtype, device=images.device).requires_grad_()
        for group in problem.groups
    }
    factors: dict[str, Tensor] = {}
    for group in problem.groups:
        for producer in group.producers:
            whole = images.new_ones(len(images), count_outputs(model, producer.name))
            gate = gates[group.name].repeat_interleave(producer.outputs.shape[1], 1)
            outputs = producer.outputs.flatten().to(images.device)
            factors[producer.name] = factors.get(producer.name, whole).index_copy(1, outputs, gate)

    def gated(name: str, output: Tensor) -> Tensor:
        axis = channel_axis(model.get_submodule(name))
        channels_last = output.movedim(axis, -1)
        factor = factors[name].reshape(len(images), *[1] * (output.dim() - 2), -1)
        return (channels_last * factor).movedim(-1, axis)

    handles = [
        model.get_submodule(site).register_forward_hook(lambda _, __, output, name=name: gated(name, output))
        for name, site in places.items()
    ]
    try:
        loss = F.cross_entropy(model(images), labels, reduction="sum")
    finally:
        for handle in handles:
            handle.remove()
    found = torch.autograd.grad(loss, list(gates.values()), allow_unused=True)
    return {name: torch.zeros_like(gates[name]) if g is None else g for name, g in zip(gates, found, strict=True)}
