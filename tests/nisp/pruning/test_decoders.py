"""Networks that make images are pruned everywhere except at their output, exactly, and survive saving."""

import pytest
import torch
from torch import nn

import nisp
from nisp.pruning.layer_weights import LAYERS
from nisp.pruning.surgery import anatomy
from tests.nisp.pruning import decoders
from tests.nisp.pruning.halving import randomised

CASES = {
    # network: (an input, the layers that keep all of their outputs)
    decoders.UNet: ((3, 21, 18), {"out"}),
    decoders.SumNet: ((3, 12, 12), {"out"}),
    decoders.Generator: ((6, 1, 1), {"6"}),
    decoders.ESPCN: ((3, 7, 9), {"out"}),
    decoders.EDSR: ((3, 6, 8), {"tail.2"}),
    decoders.VAEDecoder: ((5,), {"out"}),
    decoders.Segmenter: ((3, 16, 12), {"out"}),
    decoders.Volumes: ((1, 4, 6, 4), {"out"}),
    decoders.Waves: ((4, 10), {"out"}),
}


def outputs_of(layer):
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


@pytest.mark.parametrize("build", CASES)
def test_a_network_that_makes_images_is_pruned_everywhere(build, tmp_path):
    shape, whole = CASES[build]
    model, images = randomised(build), torch.randn(6, *shape)
    pruned = nisp.prune(model, images, ratio=0.5)
    assert pruned.removal_error < 1e-14
    assert pruned.macs < 0.45 * pruned.macs_before
    sizes = {name: outputs_of(layer) for name, layer in model.named_modules() if isinstance(layer, LAYERS)}
    for name, size in sizes.items():
        layer = pruned.model.get_submodule(name)
        assert outputs_of(layer) == (size if name in whole else size // 2), name
        fresh = type(layer)(*_arguments(layer))
        assert fresh.weight.shape == layer.weight.shape
    nisp.save(pruned, tmp_path / "small")
    torch.testing.assert_close(nisp.load(tmp_path / "small").eval()(images), pruned.model(images))


def _arguments(layer):
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    padding = (layer.padding, layer.output_padding) if layer.transposed else (layer.padding, layer.dilation)
    return layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, *padding, layer.groups


@pytest.mark.parametrize("build", CASES)
def test_a_pruned_network_can_be_trained_and_pruned_again(build):
    shape, _ = CASES[build]
    model, images = randomised(build), torch.randn(6, *shape)
    pruned = nisp.prune(model, images, ratio=0.3).model
    pruned.train()(images).square().mean().backward()
    assert all(parameter.grad is not None for parameter in pruned.parameters())
    again = nisp.prune(pruned.eval(), images, ratio=0.5)
    assert again.removal_error < 1e-14 and again.params < 0.8 * sum(p.numel() for p in pruned.parameters())


def test_outputs_of_a_transposed_convolution_in_groups_go_from_every_group():
    model = nn.Sequential(nn.Conv2d(1, 6, 1), nn.ConvTranspose2d(6, 8, 3, groups=2), nn.Conv2d(8, 1, 1))
    first, second = anatomy(model, torch.randn(1, 1, 4, 4)).groups
    assert first.producers[0].outputs.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert first.consumers[0].inputs.tolist() == [[0], [1], [2]]
    assert second.producers[0].outputs.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert second.consumers[0].inputs.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_a_depthwise_transposed_convolution_loses_the_outputs_of_the_inputs_that_it_loses():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ConvTranspose2d(4, 8, 3, groups=4), nn.Conv2d(8, 1, 1))
    (group,) = anatomy(model, torch.randn(1, 1, 4, 4)).groups
    assert [producer.outputs.tolist() for producer in group.producers] == [
        [[0], [1], [2], [3]],
        [[0, 1], [2, 3], [4, 5], [6, 7]],
    ]
    pruned = nisp.prune(model, torch.randn(4, 1, 4, 4), ratio=0.25)
    assert pruned.model[1].groups == 3 and tuple(pruned.model[1].weight.shape) == (3, 2, 3, 3)
    assert pruned.model[1].out_channels == 6 and pruned.removal_error < 1e-14
