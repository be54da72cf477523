"""AlexNet as Caffe trains it (bvlc_reference_caffenet): conv2, conv4 and conv5 in two groups, for images of 227 pixels.

Krizhevsky et al. 2012, with each pool before its local response norm. The groups halve the weights and multiplications
of their layers, which decides what pruning saves; torchvision's `alexnet` has no groups and narrower layers.
"""

from collections import OrderedDict

from torch import nn

from nisp.errors import UserError

DEPTHS: tuple[int, ...] = ()


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """CaffeNet; UserError if images are so small that nothing is left of them after the last pool."""
    side = (image_size - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    if side < 1:
        raise UserError(f"caffenet needs images of at least 67 pixels (given: {image_size})")
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 96, 11, 4),
            relu1=nn.ReLU(inplace=True),
            pool1=nn.MaxPool2d(3, 2),
            norm1=nn.LocalResponseNorm(5),
            conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
            relu2=nn.ReLU(inplace=True),
            pool2=nn.MaxPool2d(3, 2),
            norm2=nn.LocalResponseNorm(5),
            conv3=nn.Conv2d(256, 384, 3, padding=1),
            relu3=nn.ReLU(inplace=True),
            conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
            relu4=nn.ReLU(inplace=True),
            conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
            relu5=nn.ReLU(inplace=True),
            pool5=nn.MaxPool2d(3, 2),
            flatten=nn.Flatten(),
            fc6=nn.Linear(256 * side * side, 4096),
            relu6=nn.ReLU(inplace=True),
            drop6=nn.Dropout(),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(inplace=True),
            drop7=nn.Dropout(),
            fc8=nn.Linear(4096, classes),
        )
    )
