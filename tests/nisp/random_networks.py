"""Random small networks: a list of steps, each of which reads values that the network has already made.

A step is a name and some numbers, which choose the values that it reads and its settings. A step that does not fit is
left out, so that every list of steps is a network, and a shorter list is a simpler one.
"""

import itertools

import torch
from hypothesis import strategies as st
from torch import nn

from tests.nisp.random_layers import LAYERS, OTHER_LAYERS, Embedded, Flat
from tests.nisp.random_moves import BOUNDED, LINEAR, OTHERS, Misfit

IMAGE = (2, 3, 4, 4)
MEETINGS = ("add", "subtract", "concatenate", "embed", "times", "larger")
ENDINGS = ("one", "tuple", "dict", "list in a tuple")


class Move(nn.Module):
    """A function without weights."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x):
        return (LINEAR.get(self.name) or OTHERS.get(self.name) or BOUNDED[self.name][0])(x)

    def absolute(self, values, signals, hear):
        return LINEAR[self.name](*signals) if self.name in LINEAR else BOUNDED[self.name][1](*signals)


class Meeting(nn.Module):
    """Two values become one."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def forward(self, x, y):
        match self.name:
            case "add":
                return x + y
            case "subtract":
                return x - y
            case "times":
                return x * y
            case "larger":
                return torch.maximum(x, y)
            case "concatenate":
                return torch.cat([x, y], 1)
        raise AssertionError(self.name)

    def absolute(self, values, signals, hear):
        if self.name == "times":
            return signals[0] * values[1].abs() + values[0].abs() * signals[1]
        return torch.cat(signals, 1) if self.name == "concatenate" else sum(signals)


class Head(nn.Module):
    """A classifier."""

    def __init__(self, shape, flat):
        super().__init__()
        self.flat = flat
        self.classifier = nn.Linear(shape[1:].numel() if flat else shape[1], 3)

    def features(self, x):
        return x.flatten(1) if self.flat else x.mean((2, 3))

    def forward(self, x):
        return self.classifier(self.features(x))


class Network(nn.Module):
    """The steps, each with the places of the values that it reads; then the heads."""

    def __init__(self, steps, places, heads, ends, ending):
        super().__init__()
        self.steps, self.heads = nn.ModuleList(steps), nn.ModuleList(heads)
        self.places, self.ends, self.ending = places, ends, ending

    def forward(self, *inputs):
        values = self.made(inputs)
        outputs = [head(values[place]) for head, place in zip(self.heads, self.ends, strict=True)]
        outputs = outputs or [values[-1]]
        match self.ending:
            case "one":
                return outputs[0] if len(outputs) == 1 else sum(outputs)
            case "dict":
                return {"logits": outputs, "none": None}
            case "list in a tuple":
                return outputs, 3
        return tuple(outputs)

    def made(self, values):
        values = list(values)
        for step, places in zip(self.steps, self.places, strict=True):
            values += listed(step(*(values[place] for place in places)))
        return values

    def __repr__(self):
        return self.recipe


def listed(made):
    return list(made) if isinstance(made, tuple | list) else [made]


@st.composite
def networks(draw, scored=False, inputs=1):
    """A network in float64 and eval mode, with random weights.

    scored  only steps whose absolute network the tests know
    inputs  number of inputs: an image, and a vector
    """
    moves = [*LINEAR, *BOUNDED] + ([] if scored else [*OTHERS])
    layers = [*LAYERS] + ([] if scored else [*OTHER_LAYERS])
    kinds = [["convolution"], layers, moves, MEETINGS, ["again"]]
    step = st.tuples(st.sampled_from(kinds).flatmap(st.sampled_from), st.lists(st.integers(0, 11), max_size=8))
    steps = draw(st.lists(step, min_size=1, max_size=9))
    heads = draw(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=int(scored), max_size=2))
    ending = draw(st.sampled_from(ENDINGS))
    seed = draw(st.integers(0, 3))
    return grown(steps, heads, ending, seed, inputs)


def images(inputs=1, count=2):
    generator = torch.Generator().manual_seed(7)
    shapes = [IMAGE, (2, 2, 1, 1)][:inputs]
    return [torch.randn(count, *shape[1:], generator=generator, dtype=torch.float64) for shape in shapes]


@torch.no_grad()
def grown(steps, heads, ending="one", seed=0, inputs=1):
    """The network of these steps; it begins with a convolution and a relu, so that there is something to remove."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        try:
            model = _grown([("convolution", []), ("relu", []), *steps], heads, ending, inputs).eval()
        finally:
            torch.set_default_dtype(torch.float32)
        model.recipe = f"grown({steps}, {heads}, {ending!r}, {seed}, {inputs})"
        return model


def _grown(steps, heads, ending, inputs):
    values = images(inputs)
    parts, places = [], []
    for name, picks in steps:
        picks = itertools.chain(picks, itertools.repeat(0))
        try:
            part, place = _part(name, values, lambda count, picks=picks: next(picks) % count, parts, places)
            part.eval()
            made = listed(part(*(values[i] for i in place)))
        except Misfit:
            continue
        values += made
        parts.append(part)
        places.append(place)
    ends = [len(values) - 1 - index % (len(values) - inputs) for index, _ in heads]
    made = [Head(values[end].shape, flat) for end, (_, flat) in zip(ends, heads, strict=True)]
    return Network(parts, places, made, ends, ending)


def _part(name, values, draw, parts, places):
    """A new module for a step (or, again, one of ``parts``), and the places of the values that it reads."""
    if name == "again":
        return _again(values, draw, parts, places)
    place = len(values) - 1 - draw(len(values))
    x = values[place]
    if x.dim() != 4 or x.size(2) > 8 or x.size(1) > 24:
        raise Misfit
    if name == "embed":
        other = _one_of([i for i in range(len(values)) if i != place], draw)
        return Embedded([x.shape, values[other].shape], draw), (place, other)
    if name in MEETINGS:
        alike = slice(2, None) if name == "concatenate" else slice(1, None)
        fitting = [i for i, y in enumerate(values) if i != place and y.shape[alike] == x.shape[alike]]
        return Meeting(name), (place, _one_of(fitting, draw))
    layer = LAYERS.get(name) or OTHER_LAYERS.get(name)
    return (layer([x.shape], draw) if layer else Move(name)), (place,)


def _again(values, draw, parts, places):
    """A part with weights that runs once more, on a value of the same width, perhaps of another size."""
    choice = draw(len(parts))
    part, [first, *others] = parts[choice], [values[place] for place in places[choice]]
    if others or isinstance(part, Move):
        raise Misfit
    small = min(first.shape[2:])
    fitting = [i for i, x in enumerate(values) if x.size(1) == first.size(1) and small <= min(x.shape[2:]) <= 8]
    if isinstance(part, Flat):
        fitting = [i for i in fitting if values[i].shape[1:] == first.shape[1:]]
    return part, (_one_of(fitting, draw),)


def _one_of(places, draw):
    """The last one, or another."""
    if not places:
        raise Misfit
    return places[-1 - draw(len(places))]
