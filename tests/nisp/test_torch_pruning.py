"""NISP as an importance in torch-pruning's pruners."""

import importlib

import pytest
import torch
import torch_pruning as tp
import torchvision
from torch import nn

import nisp
from bench.errors import UserError
from nisp.torch_pruning import NISPImportance

IMAGES = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "classifier"), [("resnet18", "fc"), ("mobilenet_v2", "classifier.1")])
def test_prunes_the_lowest_channels_of_every_group(name, classifier):
    model = torchvision.models.get_model(name, weights=None).eval()
    ignored = [model.get_submodule(classifier)]
    before = {layer: m.out_channels for layer, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    importance = NISPImportance(model, IMAGES[:1], calibration=IMAGES)
    tp.pruner.MagnitudePruner(
        model, IMAGES[:1], importance=importance, pruning_ratio=0.5, ignored_layers=ignored
    ).step()
    after = {layer: m.out_channels for layer, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert after == {layer: width // 2 for layer, width in before.items()}
    assert model(IMAGES).shape == (12, 1000)


def test_a_group_of_one_layer_has_its_scores_and_a_coupled_one_the_sum_over_tensors():
    model = torchvision.models.resnet18(weights=None).eval()
    frl = torch.rand(512)
    scores = nisp.scores(model, IMAGES[:1], frl_scores=frl)
    graph = tp.DependencyGraph().build_dependency(model, IMAGES[:1])
    importance = NISPImportance(model, IMAGES[:1], frl_scores=frl)

    def found(layer):
        group = graph.get_pruning_group(layer, tp.prune_conv_out_channels, list(range(layer.out_channels)))
        return importance(group)

    def expected(*layers):
        total = sum(scores[layer] for layer in layers)
        return (total / total.mean()).float()

    torch.testing.assert_close(found(model.layer1[0].conv1), expected("layer1.0.conv1"))
    stage = ("layer2.0.conv2", "layer2.1.conv2")  # the downsampling convolution writes the tensor of layer2.0.conv2
    torch.testing.assert_close(found(model.layer2[0].conv2), expected(*stage))


def test_part_of_a_group_has_part_of_the_scores():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 900, 2)).eval()
    frl = torch.rand(3600)
    graph = tp.DependencyGraph().build_dependency(model, IMAGES[:1])
    group = graph.get_pruning_group(model[0], tp.prune_conv_out_channels, [3, 1])
    found = NISPImportance(model, IMAGES[:1], frl_scores=frl)(group)
    wanted = nisp.scores(model, IMAGES[:1], frl_scores=frl)["0"][[3, 1]]
    torch.testing.assert_close(found, (wanted / wanted.mean()).float())


class Aside(nn.Module):
    """A network with a layer that its output does not depend on."""

    def __init__(self):
        super().__init__()
        self.body, self.aside, self.norm = nn.Linear(3, 6), nn.Linear(6, 4), nn.BatchNorm1d(4)
        self.classifier = nn.Linear(6, 2)

    def forward(self, x):
        x = torch.relu(self.body(x))
        return self.classifier(x), self.norm(self.aside(x)) * 0


def shares(model, layer, frl, example):
    graph = tp.DependencyGraph().build_dependency(model, example)
    prune = tp.prune_linear_out_channels
    importance = NISPImportance(model, example, frl_scores=frl, classifier="classifier")
    return importance(graph.get_pruning_group(layer, prune, list(range(layer.out_features))))


def test_what_the_final_responses_do_not_depend_on_is_not_pruned():
    model, example = Aside().eval(), torch.randn(1, 3)
    assert shares(model, model.aside, torch.ones(6), example) is None
    for size in (0.01, 1.0):  # scores are divided by their mean, 0.025 or 2.5
        found = shares(model, model.body, size * torch.arange(6.0), example)
        torch.testing.assert_close(found, torch.arange(6.0) / 2.5)
        assert found.dtype == torch.float32


def test_scores_of_zero_stay_zero():
    model = Aside().eval()
    assert shares(model, model.body, torch.zeros(6), torch.randn(1, 3)).tolist() == [0] * 6


def test_the_network_is_scored_once_until_it_shrinks(monkeypatch):
    calls = []
    module = importlib.import_module("nisp.torch_pruning")
    monkeypatch.setattr(module, "scores", lambda *x, **options: calls.append(1) or nisp.scores(*x, **options))
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(6, 2))  # fmt: skip
    importance = NISPImportance(model, IMAGES[:1], calibration=IMAGES)
    iterative = tp.pruner.BasePruner(
        model, IMAGES[:1], importance, pruning_ratio=0.5, iterative_steps=2, ignored_layers=[model[5]]
    )
    iterative.step()
    assert len(calls) == 1
    iterative.step()
    assert len(calls) == 2


def pruner(model, steps, **options):
    importance = NISPImportance(model, IMAGES[:1], **options)
    ignored = [model.get_submodule("4")]
    return tp.pruner.BasePruner(
        model, IMAGES[:1], importance, pruning_ratio=0.5, iterative_steps=steps, ignored_layers=ignored
    )


def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))


def test_scores_again_as_the_network_shrinks():
    model = net()
    iterative = pruner(model, 2, calibration=IMAGES)
    widths = []
    for _ in range(2):
        iterative.step()
        widths.append(model[0].out_channels)
    assert widths == [6, 4]


def test_given_scores_do_not_fit_the_pruned_network():
    iterative = pruner(net(), 2, frl_scores=torch.rand(8))
    iterative.step()
    with pytest.raises(UserError, match="8 scores were given for 6"):
        iterative.step()


def test_takes_scores_or_images():
    with pytest.raises(UserError, match="either"):
        NISPImportance(net(), IMAGES[:1])
    with pytest.raises(UserError, match="either"):
        NISPImportance(net(), IMAGES[:1], frl_scores=torch.ones(8), calibration=IMAGES)
