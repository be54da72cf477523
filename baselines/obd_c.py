"""OBD-C: second-order estimate of the loss increase without a channel's weights (Wang et al. 2019, EigenDamage).

Equation: score = ½ Σ over weights w that write the channel: w² F_ww, with F_ww = mean over images of (∂L/∂w)²
Data: calibration images; labels are drawn from the network's own predictions, as the Fisher matrix requires.
Cost: one forward and backward pass per image, one image at a time, at most 256 by default.
Deviations: the diagonal of the Fisher matrix replaces the Hessian's, as in the publication's baseline. Biases and batch
    norms do not count. The layers of a coupled group are added up.
Pinned by: tests/baselines/test_rankings.py::test_obd_c_is_torch_prunings
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from baselines._responses import BATCH, producers
from nisp.pruning.contract import Problem, Scores, evaluating
from nisp.pruning.layer_weights import by_output
from nisp.pruning.memory import in_batches


def score(problem: Problem, images: int = 256) -> Scores:
    """Half the sum of squared weights times their curvature, over all layers that write a channel.

    images  largest number of calibration images for the curvature; one backward pass per image
    """
    model, chosen = problem.model, problem.images[:images]
    weights = {f"{name}.weight": model.get_parameter(f"{name}.weight").detach() for name in producers(problem)}
    curvature = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in weights.items()}
    with evaluating(model):
        for image, label in zip(chosen, drawn_labels(problem, chosen), strict=True):
            for name, gradient in _gradients(problem, weights, image, label).items():
                curvature[name] += gradient.double().square()
    scores: Scores = {}
    for group in problem.groups:
        scores[group.name] = torch.zeros(group.channels, dtype=torch.float64)
        for producer in group.producers:
            name = f"{producer.name}.weight"
            costs = weights[name].double().square() * curvature[name] / (2 * len(chosen))
            costs = by_output(model.get_submodule(producer.name), costs)
            scores[group.name] += producer.per_channel(costs.flatten(1).sum(1)).cpu()
    return scores


@torch.no_grad()
def drawn_labels(problem: Problem, images: Tensor) -> Tensor:
    """One class per image, or per pixel of a map of classes, drawn from the network's own prediction.

    So the definition of the Fisher matrix requires.
    """
    with evaluating(problem.model):
        logits = torch.cat(list(in_batches(problem.model, images, BATCH)))
    chances = logits.double().softmax(1).cpu().movedim(1, -1)
    return torch.multinomial(chances.flatten(0, -2), 1, generator=problem.generator()).reshape(chances.shape[:-1])


@torch.enable_grad()
def _gradients(problem: Problem, weights: dict[str, Tensor], image: Tensor, label: Tensor) -> dict[str, Tensor]:
    """Gradients of one image's cross-entropy by copies of the weights, so the model's own gradients do not change."""
    copies = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    loss = F.cross_entropy(functional_call(problem.model, copies, (image[None],)), label[None].to(image.device))
    found = torch.autograd.grad(loss, list(copies.values()), allow_unused=True)
    return {name: torch.zeros_like(copies[name]) if g is None else g for name, g in zip(copies, found, strict=True)}
