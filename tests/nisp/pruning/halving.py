"""Networks pruned by half, with random weights that hide nothing."""

import torch
from torch import nn

from nisp.pruning.selection import keep_plan
from nisp.pruning.surgery import anatomy, remove_channels

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def outputs(model, images=IMAGES):
    with torch.no_grad():
        return model(images)


def randomised(build):
    """A network in eval mode; parameters that start out constant, and batch-norm statistics, are made random."""
    torch.manual_seed(0)
    model = build().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.numel() > 1 and parameter.min() == parameter.max():
                parameter.add_(0.1 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return model


def halved(build, images=IMAGES):
    """Every group of channels cut to its first half."""
    original = randomised(build)
    structure = anatomy(original, images[:1])
    plan = keep_plan(structure.groups, 0.5)
    pruned = remove_channels(original, structure, {name: torch.arange(keep) for name, keep in plan.items()})
    assert sum(p.numel() for p in pruned.parameters()) < 0.9 * sum(p.numel() for p in original.parameters())
    return pruned
