"""torchvision's GoogLeNet: batch norm instead of local response norm, and 3x3 where the paper has 5x5.

Its trained weights expect inputs scaled to [-1, 1], so the network itself converts images normalised by ImageNet's
mean and deviation. The auxiliary classifiers, used only in training, are left out. `googlenet_caffe` is the network of
2014.
"""

from torch import nn

from nisp.errors import UserError

DEPTHS: tuple[int, ...] = ()


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """For colour images; trained weights are for 224 pixels (see bench.training.pretrained)."""
    import torchvision

    if in_channels != 3:
        raise UserError(f"googlenet needs images of 3 channels (given: {in_channels})")
    return torchvision.models.GoogLeNet(classes, aux_logits=False, transform_input=True, init_weights=False)
