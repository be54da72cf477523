import copy

import pytest
import torch
from torch import nn

from bench.runs.size import size_of
from nisp.pruning.selection import keep_plan, kept_channels
from nisp.pruning.surgery import anatomy, removal_error, remove_channels
from tests.conftest import EMBEDDED, build, classifier_name


def zeroed(model, structure, kept, images):
    """Outputs of the original network in float64 with the removed channels set to zero as they are written.

    Behind a layer's own batch norm, so that its bias and shift go too; not by way of the consumers.
    """
    model = copy.deepcopy(model).double().eval()
    modules = dict(model.named_modules())
    names = list(modules)
    for group in structure.groups:
        mask = torch.zeros(group.channels).double()
        mask[kept[group.name]] = 1
        for producer in (layer.name for layer in group.producers):
            following = names[names.index(producer) + 1] if names.index(producer) + 1 < len(names) else producer
            norms = {"conv": "bn", "conv1": "bn1", "conv2": "bn2"}
            head, _, tail = producer.rpartition(".")
            sibling = ".".join(filter(None, (head, norms.get(tail, ""))))
            at = sibling if sibling in modules and tail in norms else following
            at = at if isinstance(modules[at], nn.BatchNorm2d) else producer
            modules[at].register_forward_hook(
                lambda _, __, output, mask=mask: output * mask.reshape(1, -1, *[1] * (output.dim() - 2))
            )
    with torch.no_grad():
        return model(images.double())


@pytest.mark.parametrize(("name", "depth"), EMBEDDED)
@pytest.mark.parametrize("ratio", [0.25, 0.7])
def test_removed_equals_zeroed(name, depth, ratio, digits):
    model = build(name, depth)
    structure = anatomy(model, digits.example)
    plan = keep_plan(structure.groups, ratio)
    kept = {group.name: kept_channels(torch.rand(group.channels), plan[group.name]) for group in structure.groups}
    pruned = remove_channels(model, structure, kept)
    images = digits.train.images[:8]
    expected = zeroed(model, structure, kept, images)
    with torch.no_grad():
        actual = pruned.double().eval()(images.double())
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
    assert removal_error(model, pruned, structure, kept, images) < 1e-10


@pytest.mark.parametrize(("name", "depth"), EMBEDDED)
def test_every_layer_but_the_classifier_is_pruned_and_can_be_trained(name, depth, digits):
    model = build(name, depth)
    classifier = classifier_name(model)
    structure = anatomy(model, digits.example)
    producers = [producer.name for group in structure.groups for producer in group.producers]
    weighted = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert sorted(producers) == sorted(set(weighted) - {classifier})
    plan = keep_plan(structure.groups, 0.5)
    pruned = remove_channels(model, structure, {n: torch.arange(k) for n, k in plan.items()}).train()
    assert pruned.get_submodule(classifier).out_features == 10
    pruned(digits.train.images[:4]).sum().backward()
    assert all(parameter.grad is not None for parameter in pruned.parameters())


def test_residual_streams_are_one_group(digits):
    model = build("resnet", 14)
    groups = anatomy(model, digits.example).groups
    assert [tuple(p.name for p in group.producers) for group in groups if len(group.producers) > 1] == [
        ("conv", "blocks.0.conv2", "blocks.1.conv2"),
        ("blocks.2.conv2", "blocks.2.shortcut.0", "blocks.3.conv2"),
        ("blocks.4.conv2", "blocks.4.shortcut.0", "blocks.5.conv2"),
    ]


def test_concat_reads_each_group_at_its_offset():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 3, 1)
            self.c, self.classifier = nn.Conv2d(5, 2, 1), nn.Linear(2, 2)

        def forward(self, x):
            x = self.c(torch.cat([self.a(x), self.b(x)], 1))
            return self.classifier(x.mean((2, 3)))

    model, example = Net(), torch.randn(1, 1, 4, 4)
    structure = anatomy(model, example)
    assert [group.read_by("c").inputs.flatten().tolist() for group in structure.groups[:2]] == [[0, 1], [2, 3, 4]]
    kept = {"a": torch.tensor([1]), "b": torch.tensor([0, 2]), "c": torch.tensor([0, 1])}
    pruned = remove_channels(model, structure, kept)
    assert torch.equal(pruned.c.weight, model.c.weight[:, [1, 2, 4]])
    assert removal_error(model, pruned, structure, kept, example) < 1e-12


def test_macs_and_parameters_by_hand(digits):
    # Plain-4 on 8x8: 3x3 convolutions 1-16-16 at 64 positions, 16-32-32 at 16, then 32 x 10.
    model = build("plain", 4)
    size = size_of(model, digits.example)
    weights = 9 * 16 + 9 * 256, 9 * 512 + 9 * 1024
    assert size.params == sum(weights) + 2 * (16 + 16 + 32 + 32) + 330
    convolutions = weights[0] * 64 + weights[1] * 16
    assert convolutions + 320 <= size.macs <= 1.05 * (convolutions + 320)  # ptflops counts norms and pools too
