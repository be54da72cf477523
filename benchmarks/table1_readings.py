"""Search for the reading of the paper that comes closest to each row of its Table 1.

    python -m benchmarks.table1_readings                       # every NISP row
    python -m benchmarks.table1_readings resnet-50-nisp-b      # one row

For each row, many readings are computed: which network, which layers, how numbers of channels are rounded, which layers
are counted, and whether the inputs that the next layer loses count as saved. A reading's cost follows from the groups
that surgery finds: a layer costs its share of kept outputs times its share of kept inputs. Nothing is fitted; if a
ratio is unknown, every value of a grid is a reading, and the list says so. docs/table1.md discusses the results.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain, combinations, product
from pathlib import Path

import torch
from torch import nn

from bench.runs.table1 import network
from bench.runs.variants import Variant, load_variants
from nisp.pruning.contract import Group
from nisp.pruning.multiplications import multiplications
from nisp.pruning.surgery import anatomy

ROOT = Path(__file__).parent.parent
COUNTED: dict[str, Callable[["Layer"], bool]] = {
    "conv+linear": lambda layer: True,
    "conv": lambda layer: not layer.linear,
    "no shortcuts": lambda layer: "shortcut" not in layer.name and "downsample" not in layer.name,
    "conv, no shortcuts": lambda layer: not layer.linear and COUNTED["no shortcuts"](layer),
}
NORMS = ", biases and norms"
ROUNDINGS: dict[str, Callable[[float], float]] = {
    "exact": lambda kept: kept,
    "down": lambda kept: max(1, math.floor(kept + 1e-9)),
    "nearest": lambda kept: max(1, math.floor(kept + 0.5 + 1e-9)),
    "up": lambda kept: math.ceil(kept - 1e-9),
}


@dataclass(frozen=True)
class Layer:
    """Size of a convolution or linear layer: multiplications, weights, outputs, and other parameters per output."""

    name: str
    linear: bool
    multiplications: int
    weights: int
    outputs: int
    inputs: int
    others: int


@dataclass(frozen=True)
class Net:
    """The input of a reading's cost."""

    layers: tuple[Layer, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Reading:
    """One reading in words, how many ratios in it are free, and what it saves, in per cent."""

    words: str
    free: int
    flops: float
    params: float

    def gap(self, variant: Variant) -> float:
        """The larger of the two distances from the paper, in percentage points."""
        paper = variant.paper
        return max(abs(self.flops - paper.flops_reduction), abs(self.params - paper.params_reduction))


def described(model: nn.Module, example: torch.Tensor) -> Net:
    """Sizes of a network's layers, and its groups. A batch norm counts with the convolution before it."""
    counts = multiplications(model, example)
    normed = any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    layers = []
    for name, count in counts.items():
        module = model.get_submodule(name)
        linear = isinstance(module, nn.Linear)
        others = int(module.bias is not None) + 2 * int(normed and not linear)
        weight = module.get_parameter("weight")
        layers.append(Layer(name, linear, count, weight.numel(), weight.size(0), weight.size(1), others))
    return Net(tuple(layers), anatomy(model, example).groups)


def shares(net: Net, kept: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Layer -> share of its outputs and of its inputs that is left, given ``kept`` (group -> channels)."""
    lost_out: dict[str, float] = {}
    lost_in: dict[str, float] = {}
    for group in net.groups:
        gone = group.channels - kept[group.name]
        for producer in group.producers:
            lost_out[producer.name] = lost_out.get(producer.name, 0) + gone * producer.outputs.size(1)
        for consumer in group.consumers:
            lost_in[consumer.name] = lost_in.get(consumer.name, 0) + gone * consumer.inputs.size(1)
    return {
        layer.name: (1 - lost_out.get(layer.name, 0) / layer.outputs, 1 - lost_in.get(layer.name, 0) / layer.inputs)
        for layer in net.layers
    }


def saved(net: Net, left: Mapping[str, tuple[float, float]], of: str, inputs: bool, what: str) -> float:
    """Per cent of the multiplications, or of the parameters, that are removed."""
    before = after = 0.0
    for layer in filter(COUNTED[of.removesuffix(NORMS)], net.layers):
        outputs, read = left[layer.name]
        size = layer.multiplications if what == "multiplications" else layer.weights
        others = layer.others * layer.outputs if of.endswith(NORMS) else 0
        before += size + others
        after += size * outputs * (read if inputs else 1) + others * outputs
    return 100 * (1 - after / before)


def readings(net_name: str, net: Net, pruned: Mapping[str, Mapping[str, float]], free: int = 0) -> Iterator[Reading]:
    """Every combination of what is pruned (label -> pattern -> ratio), rounding and counting, on one network."""
    shortcuts = any(not COUNTED["no shortcuts"](layer) for layer in net.layers)
    counted = [name for name in COUNTED if shortcuts or "shortcuts" not in name]
    for (label, ratios), rounding in product(pruned.items(), ROUNDINGS):
        kept = {group.name: ROUNDINGS[rounding](group.channels * (1 - ratio_of(group, ratios))) for group in net.groups}
        left = shares(net, kept)
        for inputs in (True, False):
            flops = {of: saved(net, left, of, inputs, "multiplications") for of in counted}
            params_of = [*counted, *(of + NORMS for of in counted if not of.startswith("conv,"))]
            params = {of: saved(net, left, of, inputs, "parameters") for of in params_of}
            for (f, flops_saved), (p, params_saved) in product(flops.items(), params.items()):
                counting = "inputs count" if inputs else "inputs do not count"
                words = f"{net_name}; {label}; rounded {rounding}; FLOPs of {f}; parameters of {p}; {counting}"
                yield Reading(words, free, flops_saved, params_saved)


def ratio_of(group: Group, ratios: Mapping[str, float]) -> float:
    """The ratio of the last pattern that matches one of the group's layers; 0 if none does."""
    matching = [r for pattern, r in ratios.items() if any(fnmatchcase(p.name, pattern) for p in group.producers)]
    return matching[-1] if matching else 0.0


def alexnet(variant: Variant) -> Iterator[Reading]:
    """Half of any set of layers, in the network with grouped convolutions and in one without."""
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    sets = chain.from_iterable(combinations(layers, count) for count in range(1, len(layers) + 1))
    pruned = {" ".join(names): dict.fromkeys(names, 0.5) for names in sets}
    model, example = network(variant)
    yield from readings("grouped", described(model, example), pruned)
    for name in ("conv2", "conv4", "conv5"):
        conv = model.get_submodule(name)
        whole = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, padding=conv.padding)
        setattr(model, name, whole)
    yield from readings("not grouped", described(model, example), pruned)


def googlenet(variant: Variant) -> Iterator[Reading]:
    """3x3 layers at one ratio or at two, with or without the 5x5 layers, and 20 % of the reduce layers."""
    net = described(*network(variant))
    reduce = {"*branch[23].0.conv": 0.2}
    one, two = {}, {}
    for twentieths, fives in product(range(20), (False, True)):
        ratio = twentieths / 20
        kinds = ("conv3.conv", "*branch2.1.conv", *(["*branch3.1.conv"] if fives else []))
        one[f"3x3{' and 5x5' if fives else ''} at {100 * ratio:.0f} %"] = reduce | dict.fromkeys(kinds, ratio)
    for early, late in product(range(20), repeat=2):
        ratios = {"conv3.conv": early / 20, "*3?.branch2.1.conv": early / 20, "*[45]?.branch2.1.conv": late / 20}
        two[f"3x3 at {5 * early} % up to inception 3, {5 * late} % after"] = reduce | ratios
    yield from readings("as in Caffe", net, one, free=1)
    yield from readings("as in Caffe", net, two, free=2)


def resnet(variant: Variant) -> Iterator[Reading]:
    """Everything, or all but the stem, the last stream, or every stream; at depth 50, either place of the stride."""
    [ratio] = variant.ratios.values()
    model, example = network(variant)
    net = described(model, example)
    streams = [group.name for group in net.groups if len(group.producers) > 1]
    everything = {"*": ratio}
    pruned = {
        "everything": everything,
        "all but the stem": everything | {net.groups[0].name: 0.0},
        "all but the last stream": everything | {streams[-1]: 0.0},
        "all but the streams": everything | dict.fromkeys(streams, 0.0),
    }
    steps = [round(ratio + step / 1000, 3) for step in range(-20, 21)]
    uniform = {f"everything at {100 * step:.1f} %": {"*": step} for step in steps}
    inner = {
        f"all but the streams at {percent} %": {"*": percent / 100} | dict.fromkeys(streams, 0.0)
        for percent in range(15, 61)
    }
    yield from readings("as built", net, pruned)
    yield from readings("as built", net, uniform | inner, free=1)
    if variant.model.depth == 50:
        for block in [module for module in model.modules() if hasattr(module, "downsample") and module.stride == 2]:
            block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
        yield from readings("stride in the 1x1", described(model, example), pruned)


SEARCHES: dict[str, Callable[[Variant], Iterator[Reading]]] = {
    "caffenet": alexnet, "googlenet_caffe": googlenet, "resnet": resnet, "resnet_imagenet": resnet,
}  # fmt: skip


def main() -> None:
    """Print, for each row, how many readings there are and the nearest of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="names of variants; default: all of NISP's own")
    parser.add_argument("--show", type=int, default=2, help="readings to show of each kind")
    given = parser.parse_args()
    torch.set_num_threads(1)
    variants = [v for v in load_variants(ROOT / "config/variants/table1.yaml").variants if "-nisp" in v.name]
    for variant in [v for v in variants if not given.rows or v.name in given.rows]:
        report(variant, list(SEARCHES[variant.model.name](variant)), given.show)


def report(variant: Variant, found: list[Reading], show: int) -> None:
    """Print the nearest readings: in both figures, in FLOPs alone and in parameters alone."""
    flops, params = variant.paper.flops_reduction, variant.paper.params_reduction
    distances: dict[str, Callable[[Reading], float]] = {
        "both": lambda reading: reading.gap(variant),
        "FLOPs alone": lambda reading: abs(reading.flops - flops),
        "parameters alone": lambda reading: abs(reading.params - params),
    }
    print(f"\n{variant.name}: the paper says {flops:.2f} / {params:.2f}")
    for free in sorted({reading.free for reading in found}):
        alike = [reading for reading in found if reading.free == free]
        print(f"  {len(alike)} readings with {free} free ratios")
        for name, far in distances.items():
            print(f"    nearest in {name}:")
            for reading in distinct_costs(sorted(alike, key=far))[:show]:
                print(f"      {reading.flops:5.2f} / {reading.params:5.2f}  off {far(reading):.2f}  {reading.words}")


def distinct_costs(found: Iterable[Reading]) -> list[Reading]:
    """The first reading of each pair of costs."""
    return list({(round(r.flops, 2), round(r.params, 2)): r for r in reversed(list(found))}.values())[::-1]


if __name__ == "__main__":
    main()
