"""The library on a pretended GPU: networks there have the scores, and lose the channels, that they do on the CPU."""

import pytest
import torch

import nisp
from tests.gpu.pretended import GpuTensor, pretended

NETWORKS = {
    "resnet18": 64, "squeezenet1_1": 64, "shufflenet_v2_x0_5": 64, "mobilenet_v3_small": 64, "densenet121": 64,
    "swin_t": 64, "regnet_y_400mf": 64,
}  # fmt: skip
FAST = ("resnet18", "mobilenet_v3_small")


def network(name):
    import torchvision

    torch.manual_seed(0)
    return torchvision.models.get_model(name, num_classes=10).eval()


def pruned(net, images):
    classifiers = nisp.final_layers(net, images[:1])
    scores = nisp.scores(net, images[:1], frl_scores=torch.ones(sum(classifiers.values())))
    return {name: values.cpu() for name, values in scores.items()}, nisp.prune(net, images, ratio=0.3)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in NETWORKS]
)
def test_networks_are_scored_and_pruned_as_on_the_cpu(name):
    images = torch.randn(4, 3, NETWORKS[name], NETWORKS[name], generator=torch.Generator().manual_seed(0))
    scores, small = pruned(network(name), images)
    with pretended():
        found, on_gpu = pruned(network(name).to("cuda"), images.to("cuda"))
        assert all(isinstance(tensor, GpuTensor) for tensor in on_gpu.model.state_dict().values())
        assert on_gpu.removal_error < 1e-12
    assert found.keys() == scores.keys()
    for layer, values in scores.items():
        torch.testing.assert_close(found[layer], values, rtol=1e-3, atol=0)
    assert (on_gpu.macs, on_gpu.params) == (small.macs, small.params)
    same = [torch.equal(on_gpu.kept[group].cpu(), kept.cpu()) for group, kept in small.kept.items()]
    assert sum(same) >= 0.9 * len(same), "only near ties may fall the other way by rounding"
