"""GoogLeNet as published and as Caffe trains it (Szegedy et al. 2015; bvlc_googlenet), without auxiliary classifiers.

torchvision's layers under torchvision's names, with what differs put back: biases instead of batch norms, 5x5
convolutions in the third branch, local response norms around conv2 and conv3, a 3x3 pool before inception5a.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from nisp.errors import UserError

DEPTHS: tuple[int, ...] = ()


class Convolution(nn.Module):
    """A convolution with bias, and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, **options)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, out_channels, height, width)."""
        return self.relu(self.conv(x))


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """For colour images, made for 224 pixels."""
    from torchvision.models.googlenet import GoogLeNet, Inception, InceptionAux

    if in_channels != 3:
        raise UserError(f"googlenet_caffe needs images of 3 channels (given: {in_channels})")
    blocks = [Convolution, partial(Inception, conv_block=Convolution), InceptionAux]
    net = GoogLeNet(classes, aux_logits=False, init_weights=False, blocks=blocks, dropout=0.4)
    for block in [module for module in net.modules() if isinstance(module, Inception)]:
        small = block.branch3[1].conv
        block.branch3[1] = Convolution(small.in_channels, small.out_channels, kernel_size=5, padding=2)
    net.maxpool1 = nn.Sequential(net.maxpool1, nn.LocalResponseNorm(5))
    net.maxpool2 = nn.Sequential(nn.LocalResponseNorm(5), net.maxpool2)
    net.maxpool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
    return net
