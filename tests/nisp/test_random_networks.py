"""Random networks: what is pruned equals the masked network, and scores are those of the dense |W| matrices."""

import copy
import itertools
from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import given as drawing
from hypothesis import strategies as st
from torch import nn
from torch.utils._pytree import tree_leaves

import nisp
from nisp.errors import UserError
from nisp.pruning import anatomy, remove_channels
from tests.nisp.random_networks import images, networks

REFUSED = 0.3
"""Largest share of networks that may be refused: the property says nothing about these."""


def checking(examples):
    """Settings: the same examples in every run, none stored."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )


def given(inputs):
    """As the library takes them: one tensor, or a tuple."""
    return inputs[0] if len(inputs) == 1 else tuple(inputs)


def outputs(model, inputs):
    with torch.no_grad():
        return [leaf for leaf in tree_leaves(model(*inputs)) if isinstance(leaf, torch.Tensor)]


def masked(model, structure, kept, inputs):
    """A copy that reads zeros instead of the removed channels; where a layer itself does not run, its weight does."""
    model = copy.deepcopy(model)
    ran = set()
    watches = [module.register_forward_hook(lambda layer, *_: ran.add(layer)) for module in model.modules()]
    outputs(model, inputs)
    for watch in watches:
        watch.remove()
    for group in structure.groups:
        removed = [i for i in range(group.channels) if i not in kept[group.name]]
        for consumer in group.consumers:
            layer, columns = model.get_submodule(consumer.name), consumer.inputs[removed].flatten()
            if layer in ran:
                mask = mask_of(layer, columns)
                layer.register_forward_pre_hook(lambda layer, inputs, mask=mask: (inputs[0] * mask,))
            else:
                with torch.no_grad():
                    layer.weight[:, columns] = 0
    return model


def mask_of(layer, columns):
    """One factor per input of the layer, 0 for those that its weight reads with ``columns``."""
    linear = isinstance(layer, nn.Linear)
    size = layer.in_features if linear else layer.in_channels
    mask = torch.ones(1 if linear else layer.groups, size if linear else size // layer.groups, dtype=torch.float64)
    mask[:, columns] = 0
    return mask.flatten() if linear else mask.flatten()[:, None, None]


def state(model):
    """All that a network keeps: tensors and attributes of every module."""
    modules = {
        name: {k: copy.deepcopy(v) for k, v in vars(module).items() if not k.startswith("_") or k.endswith("hooks")}
        for name, module in model.named_modules()
    }
    return {k: v.clone() for k, v in model.state_dict().items()}, modules


def assert_unchanged(model, before):
    tensors, modules = state(model)
    assert tensors.keys() == before[0].keys() and all(torch.equal(tensors[k], before[0][k]) for k in tensors)
    assert modules == before[1]


def a_sentence(error):
    text = str(error)
    assert text and "\n" not in text and "Traceback" not in text and len(text) < 600
    return text


def drawn(structure, generator):
    """At least one channel of each group, drawn at random."""
    kept = {}
    for group in structure.groups:
        count = int(torch.randint(1, group.channels + 1, (), generator=generator))
        kept[group.name] = torch.randperm(group.channels, generator=generator)[:count].sort().values
    return kept


def by_parts(model, inputs, generator):
    """The parts of the library: random channels of every group are kept."""
    structure = anatomy(model, given(inputs))
    kept = drawn(structure, generator)
    return remove_channels(model, structure, kept), structure, kept


def by_prune(model, inputs, generator):
    """`nisp.prune` with random scores."""
    structure = anatomy(model, given(inputs))
    scores = {group.name: torch.rand(group.channels, generator=generator) for group in structure.groups}
    ratio = 0.1 + 0.8 * torch.rand((), generator=generator).item()
    pruned = nisp.prune(model, given(inputs), ratio, scores=scores)
    return pruned.model, structure, pruned.kept


def pruned_exactly(model, inputs, seed, way=by_parts):
    """Prune random channels; the sentence if that is refused, None if the outputs are right."""
    before, whole = state(model), outputs(model, inputs)
    try:
        small, structure, kept = way(model, inputs, torch.Generator().manual_seed(seed))
    except UserError as error:
        assert_unchanged(model, before)
        return a_sentence(error)
    assert_unchanged(model, before)
    for first, second in zip(whole, outputs(model, inputs), strict=True):
        assert torch.equal(first, second)
    expected = outputs(masked(model, structure, kept, inputs), inputs)
    largest = max(leaf.abs().max().item() for leaf in expected)
    for first, second in zip(expected, outputs(small, inputs), strict=True):
        torch.testing.assert_close(second, first, rtol=0, atol=1e-10 * max(largest, 0.01))
    assert sum(p.numel() for p in small.parameters()) <= sum(p.numel() for p in model.parameters())
    return None


def check_pruning(way, examples, inputs=1):
    met = Counter()

    @checking(examples)
    @drawing(model=networks(inputs=inputs), seed=st.integers(0, 2**20))
    def property(model, seed):
        met[pruned_exactly(model, images(inputs), seed, way)] += 1

    property()
    assert met[None] >= (1 - REFUSED) * met.total(), met


class Tape:
    """What each layer wrote, in the absolute network; behind the batch norm that alone reads it, if there is one."""

    def __init__(self):
        self.written = []
        self.only_reader = False

    def __call__(self, layer, signal):
        signal.retain_grad()
        self.written.append([layer, signal])

    def behind(self, before, signal):
        """A norm read ``before``; one behind another does not directly follow a layer."""
        for entry in self.written:
            if entry[1] is before and self.only_reader:
                entry[1] = signal * 1
                entry[1].retain_grad()
                return entry[1] * 1
        return signal


def absolute_scores(model, inputs, frl_scores):
    """Layer -> for each call, d(scores of the final responses) / d(what it wrote), in the absolute network."""
    tape, values = Tape(), list(inputs)
    signals = [torch.zeros_like(x).requires_grad_() for x in inputs]
    readers = Counter([place for places in model.places for place in places] + model.ends)
    for step, places in zip(model.steps, model.places, strict=True):
        with torch.no_grad():
            made = step(*(values[place] for place in places))
        tape.only_reader = readers[places[0]] == 1
        made_signals = step.absolute([values[i] for i in places], [signals[i] for i in places], tape)
        values += made if isinstance(made, tuple | list) else [made]
        signals += made_signals if isinstance(made_signals, tuple | list) else [made_signals]
    finals = [head.features(signals[place]) for head, place in zip(model.heads, model.ends, strict=True)]
    torch.cat(finals, 1).mv(frl_scores).sum().backward()
    found = {}
    for layer, signal in tape.written:
        if signal.grad is not None:
            found.setdefault(layer, []).append(signal.grad / len(inputs[0]))
    return found


def summed(layer, gradient):
    return gradient.movedim(-1 if isinstance(layer, nn.Linear) else 1, 0).flatten(1).sum(1)


def scored_exactly(model, inputs):
    """Score the network; the sentence if that is refused, None if the scores are right."""
    features = sum(head.classifier.in_features for head in model.heads)
    frl_scores = torch.rand(features, generator=torch.Generator().manual_seed(features), dtype=torch.float64) + 0.1
    before = state(model)
    try:
        scores = nisp.scores(model, given(inputs), frl_scores=frl_scores)
    except UserError as error:
        assert_unchanged(model, before)
        return a_sentence(error)
    assert_unchanged(model, before)
    expected = absolute_scores(model, inputs, frl_scores)
    names = {name: module for name, module in model.named_modules() if module in expected}
    assert scores.keys() == names.keys()
    for name, module in names.items():
        assert_equal(scores[name], sum(summed(module, gradient) for gradient in expected[module]))
    propagated_exactly(model, [x[:1] for x in inputs], frl_scores)
    return None


def propagated_exactly(model, inputs, frl_scores):
    """The scores of groups: of each tensor that a group's layers write, once."""
    try:
        groups = anatomy(model, given(inputs)).groups
    except UserError:
        return
    heads = [f"heads.{index}.classifier" for index in range(len(model.heads))]
    scores = nisp.propagate(model, given(inputs), heads, frl_scores, groups)
    expected = absolute_scores(model, inputs, frl_scores)
    for group in groups:
        layers = [(producer, model.get_submodule(producer.name)) for producer in group.producers]
        sums = [
            (gradient, summed(layer, gradient)[producer.outputs].sum(1))
            for producer, layer in layers
            for gradient in expected.get(layer, ())
        ]
        gradients = [gradient for gradient, _ in sums]
        by_chance = any(close(a, b) and not torch.equal(a, b) for a, b in itertools.combinations(gradients, 2))
        if not by_chance:  # only the last bits would tell whether these are one tensor
            once = [part for i, (a, part) in enumerate(sums) if not any(torch.equal(a, b) for b, _ in sums[:i])]
            assert_equal(scores[group.name], sum(once, torch.zeros(group.channels, dtype=torch.float64)))


def close(first, second):
    return first.shape == second.shape and torch.allclose(first, second, rtol=1e-9)


def assert_equal(found, right):
    torch.testing.assert_close(found, right, rtol=1e-9, atol=1e-12 * right.max().item())


def check_scores(examples, inputs=1):
    met = Counter()

    @checking(examples)
    @drawing(model=networks(scored=True, inputs=inputs))
    def property(model):
        met[scored_exactly(model, images(inputs))] += 1

    property()
    assert met[None] >= (1 - REFUSED) * met.total(), met


@pytest.mark.parametrize("way", [by_parts, by_prune])
def test_what_is_pruned_equals_the_masked_network(way):
    check_pruning(way, 40)


def test_scores_are_those_of_the_dense_matrices():
    check_scores(40)


def test_networks_of_two_inputs():
    check_pruning(by_prune, 15, inputs=2)
    check_scores(15, inputs=2)


@pytest.mark.slow
@pytest.mark.parametrize("way", [by_parts, by_prune])
def test_many_networks_are_pruned_exactly(way):
    check_pruning(way, 500)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [1, 2])
def test_many_networks_are_scored_exactly(inputs):
    check_scores(500, inputs)
