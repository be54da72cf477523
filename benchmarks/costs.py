"""Write config/costs.yaml, so that memory and GPU hours can be estimated without building a network."""

from pathlib import Path

import torch
import yaml
from torch import nn

from bench.runs.size import size_of
from bench.suite import plugins

FILE = Path("config/costs.yaml")
SIDES = {
    "lenet": (8, 28), "cifarnet": (28, 32), "plain": (8, 32), "resnet": (8, 28, 32), "alexnet": (224,),
    "caffenet": (224,), "googlenet": (224,), "googlenet_caffe": (224,), "resnet_imagenet": (224,),
}  # fmt: skip
"""Sides of the images that the suites give each family, in pixels."""


def activations(model: nn.Module, example: torch.Tensor) -> int:
    """Numbers that modules without children write for one image: about what training keeps for the backward pass."""
    written: list[int] = []
    for module in model.modules():
        if not list(module.children()) and not getattr(module, "inplace", False):
            module.register_forward_hook(lambda _, __, output: written.append(output.numel()))
    model(example)
    return sum(written)


def measured() -> dict[str, dict[str, float]]:
    """``label@side`` -> costs in millions: three channels from 32 pixels on, a thousand classes at 224, else ten."""
    found = {}
    for family, sides in SIDES.items():
        for depth in plugins.depths(family) or (None,):
            for side in sides:
                channels, classes = 3 if side >= 32 else 1, 1000 if side == 224 else 10
                model = plugins.load(plugins.MODELS, family).build(depth, channels, side, classes).eval()
                label = family if depth is None else f"{family}-{depth}"
                example = torch.zeros(1, channels, side, side)
                size = size_of(model, example)
                counts = {"macs": size.macs, "params": size.params, "activations": activations(model, example)}
                found[f"{label}@{side}"] = {name: count / 1e6 for name, count in counts.items()}
    return found


if __name__ == "__main__":
    content = yaml.safe_load(FILE.read_text())
    head = [line for line in FILE.read_text().splitlines() if line.startswith("#")]
    body = yaml.safe_dump({**content, "networks": measured()}, sort_keys=False, default_flow_style=None, width=120)
    FILE.write_text("\n".join(head) + "\n" + body)
