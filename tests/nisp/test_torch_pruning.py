"""NISP as an importance in torch-pruning's pruners."""

import pytest
import torch
import torch_pruning as tp
import torchvision
from torch import nn

import nisp
from nisp.errors import UserError
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

    def shares(layer):
        group = graph.get_pruning_group(layer, tp.prune_conv_out_channels, list(range(layer.out_channels)))
        return importance(group)

    def expected(*layers):
        total = sum(scores[layer] for layer in layers)
        return (total / total.mean()).float()

    torch.testing.assert_close(shares(model.layer1[0].conv1), expected("layer1.0.conv1"))
    stage = ("layer2.0.conv2", "layer2.1.conv2")  # the downsampling convolution writes the tensor of layer2.0.conv2
    torch.testing.assert_close(shares(model.layer2[0].conv2), expected(*stage))


def test_part_of_a_group_has_part_of_the_scores():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 900, 2)).eval()
    frl = torch.rand(3600)
    graph = tp.DependencyGraph().build_dependency(model, IMAGES[:1])
    group = graph.get_pruning_group(model[0], tp.prune_conv_out_channels, [3, 1])
    found = NISPImportance(model, IMAGES[:1], frl_scores=frl)(group)
    wanted = nisp.scores(model, IMAGES[:1], frl_scores=frl)["0"][[3, 1]]
    torch.testing.assert_close(found, (wanted / wanted.mean()).float())


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
