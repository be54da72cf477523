"""Which positions of a layer's output are sampled, and what the layer read there: against torch's unfold."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nisp.errors import UserError
from nisp.pruning.layer_weights import TRANSPOSED
from nisp.pruning.sampling import sampled_rows

GEOMETRIES = [
    {"kernel_size": 3},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)},
    {"kernel_size": (1, 4), "stride": (1, 3), "padding": (2, 1), "dilation": (3, 1)},
]


def positions(images, places, seed, batch=0):
    """Five distinct positions, of ``places``, per image, as documented: drawn by seed and batch."""
    seeds = torch.randint(2**62, (batch + 1,), generator=torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(int(seeds[batch]))
    return torch.rand(images, places, generator=generator).argsort(1)[:, :5]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("seed", [0, 7])
def test_rows_are_the_columns_of_unfold_at_the_sampled_positions(geometry, seed):
    layer = nn.Conv2d(3, 4, **geometry)
    images = torch.randn(6, 3, 9, 8)
    options = {"stride": 1, "padding": 0, "dilation": 1} | geometry
    columns = F.unfold(images, **options).reshape(6, 3, -1, layer(images).shape[2:].numel())  # n, channels, taps, place
    outputs = layer(images).detach().flatten(2)
    rows = sampled_rows(nn.Sequential(layer), ("0",), images, seed)["0"]
    chosen = positions(6, outputs.shape[2], seed)
    assert rows.inputs.shape == (30, 3, layer.weight[0, 0].numel()) and rows.outputs.shape == (30, 4)
    for row, (image, place) in enumerate((n, p) for n in range(6) for p in chosen[n].tolist()):
        assert torch.equal(rows.inputs[row], columns[image, :, :, place])
        assert torch.equal(rows.outputs[row], outputs[image, :, place])


def test_a_map_of_fewer_positions_gives_each_of_them_once():
    layer = nn.Conv2d(1, 1, 1, bias=False)
    images = torch.arange(12.0).reshape(3, 1, 2, 2)
    rows = sampled_rows(nn.Sequential(layer), ("0",), images, 0)["0"]
    assert rows.inputs.flatten().reshape(3, 4).sort().values.tolist() == images.reshape(3, 4).tolist()


def test_a_linear_layer_has_a_row_for_each_vector_that_it_reads():
    layer, tokens = nn.Linear(4, 3), torch.randn(2, 5, 4)
    rows = sampled_rows(nn.Sequential(nn.Identity(), layer), ("1",), tokens, 0)["1"]
    assert torch.equal(rows.inputs, tokens.reshape(10, 4, 1))
    assert torch.equal(rows.outputs, layer(tokens).detach().reshape(10, 3))


@pytest.mark.parametrize(("pixels", "sizes"), [(2 * 81 + 80, [2, 2, 1]), (80, [1] * 5), (81 * 5, [5])])
def test_batches_are_as_large_as_fits_and_draw_positions_of_their_own(monkeypatch, pixels, sizes):
    monkeypatch.setattr("nisp.pruning.sampling.BATCH_PIXELS", pixels)
    layer, images, seen = nn.Conv2d(1, 2, 1), torch.randn(5, 1, 9, 9), []
    layer.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    rows = sampled_rows(nn.Sequential(layer), ("0",), images, 3)["0"]
    assert seen == sizes
    chosen = torch.cat([positions(size, 81, 3, batch) for batch, size in enumerate(sizes)])
    assert torch.equal(rows.inputs.flatten().reshape(5, 5), images.flatten(1).gather(1, chosen))


def test_83_images_of_224_pixels_a_side_go_through_at_once():
    seen = []
    model = nn.Sequential(nn.AvgPool2d(224), nn.Conv2d(1, 1, 1))
    model[0].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    sampled_rows(model, ("1",), torch.zeros(1, 1, 224, 224).expand(84, -1, -1, -1), 0)
    assert seen == [83, 1]


def test_a_pass_ends_at_the_last_layer_asked_for_and_leaves_no_hook():
    class Far(nn.Module):
        def forward(self, x):
            raise AssertionError("nobody asked for this layer")

    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), Far())
    assert set(sampled_rows(model, ("0", "1"), torch.randn(2, 1, 3, 3), 0)) == {"0", "1"}
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    "layer, size",
    [
        (nn.Conv1d(3, 4, 3, 2), (9,)),
        (nn.Conv3d(3, 4, (1, 2, 3), (1, 2, 1), padding=(0, 1, 2)), (4, 3, 5)),
        (nn.Conv2d(3, 4, (3, 2), padding=1, padding_mode="reflect", dilation=(1, 2)), (5, 6)),
        (nn.Conv2d(3, 4, 3, padding="same", dilation=2), (5, 6)),
        (nn.ConvTranspose1d(3, 4, 3, 3, dilation=2, output_padding=2), (4,)),
        (nn.ConvTranspose2d(3, 4, 4, 2, 1), (4, 5)),
        (nn.ConvTranspose2d(3, 4, (3, 2), (2, 1), (1, 0), output_padding=(1, 0), dilation=(1, 2)), (4, 5)),
        (nn.ConvTranspose3d(3, 4, (3, 2, 5), (2, 1, 3), 1), (4, 3, 5)),
    ],
    ids=str,
)
def test_rows_times_weights_are_the_outputs(layer, size):
    images = torch.randn(3, 3, *size, dtype=torch.float64)
    net = nn.Sequential(layer.double())
    rows, outputs = sampled_rows(net, ("0",), images, 0)["0"], layer(images).detach().flatten(2)
    weight = layer.weight.transpose(0, 1) if isinstance(layer, TRANSPOSED) else layer.weight
    products = torch.einsum("rct,oct->ro", rows.inputs, weight.detach().flatten(2)) + layer.bias.detach()
    torch.testing.assert_close(products, rows.outputs)
    chosen = positions(3, outputs.shape[2], 0)
    assert torch.equal(rows.outputs, torch.cat([outputs[n, :, chosen[n]].T for n in range(3)]))


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 4, 3, groups=2), nn.ConvTranspose2d(4, 4, 3, groups=2)])
def test_layers_that_are_no_plain_convolution_are_refused_by_name(layer):
    with pytest.raises(UserError, match="layer 0 is not a plain convolution"):
        sampled_rows(nn.Sequential(layer), ("0",), torch.randn(2, 4, 5, 5), seed=0)
