"""The model zoo, one family a file: a module with ``build(depth, in_channels, image_size, classes) -> nn.Module``.

A family that comes in several depths lists them in ``DEPTHS``. Every model has its classifier as its last linear layer.
"""

from torch import nn

from nisp.errors import UserError


def classifier_name(model: nn.Module) -> str:
    """Name of the last linear layer, whose input is the final response layer."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"{type(model).__name__} has no linear layer, so its classifier cannot be found")
    return linear[-1]
