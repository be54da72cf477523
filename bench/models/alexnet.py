"""torchvision's AlexNet: the one-column variant, without grouped convolutions and without norms (Krizhevsky 2014)."""

from torch import nn

from nisp.errors import UserError

DEPTHS: tuple[int, ...] = ()


def build(depth: int | None, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """For colour images of at least 63 pixels; trained weights are for 224 (see bench.training.pretrained)."""
    import torchvision

    if in_channels != 3 or image_size < 63:
        raise UserError(f"alexnet needs 3 channels and 63 pixels or more (given: {in_channels} and {image_size})")
    return torchvision.models.alexnet(num_classes=classes)
