"""torchvision's residual nets for ImageNet (He et al. 2016, table 1): basic blocks at depth 34, bottlenecks at 50.

Shortcuts that change the width are 1x1 convolutions (option B). At depth 50 the stride is in the 3x3 convolution.
"""

from torch import nn

from nisp.errors import UserError

DEPTHS = (34, 50)


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """For colour images; trained weights are for 224 pixels (see bench.training.pretrained)."""
    import torchvision

    if in_channels != 3:
        raise UserError(f"resnet_imagenet needs images of 3 channels (given: {in_channels})")
    return getattr(torchvision.models, f"resnet{depth}")(num_classes=classes)
