"""Write config/costs.yaml: what ``snakemake -n`` estimates GPU hours from, without building a network."""

from pathlib import Path

import torch
import yaml

from bench import plugins
from bench.measure import cost

FILE = Path("config/costs.yaml")
SIDES = {
    "lenet": (8, 28), "cifarnet": (28, 32), "plain": (8, 32), "resnet": (8, 28, 32), "alexnet": (224,),
    "caffenet": (224,), "googlenet": (224,), "googlenet_caffe": (224,), "resnet_imagenet": (224,),
}  # fmt: skip
"""Sides of the images that the suites give each family, in pixels."""


def measured() -> dict[str, int]:
    """``label@side`` -> MACs of one image: three channels from 32 pixels on, a thousand classes at 224, else ten."""
    macs = {}
    for family, sides in SIDES.items():
        for depth in plugins.depths(family) or (None,):
            for side in sides:
                channels, classes = 3 if side >= 32 else 1, 1000 if side == 224 else 10
                model = plugins.load(plugins.MODELS, family).build(depth, channels, side, classes).eval()
                label = family if depth is None else f"{family}-{depth}"
                macs[f"{label}@{side}"] = cost(model, torch.zeros(1, channels, side, side)).macs
    return macs


if __name__ == "__main__":
    content = yaml.safe_load(FILE.read_text())
    head = [line for line in FILE.read_text().splitlines() if line.startswith("#")]
    body = yaml.safe_dump({**content, "macs": measured()}, sort_keys=False, default_flow_style=None)
    FILE.write_text("\n".join(head) + "\n" + body)
