"""Checks that the size attributes of layers match their weights."""

from torch import Tensor, nn

from nisp.errors import UserError


def check_shapes(model: nn.Module, what: object) -> None:
    """UserError, which names ``what`` and the layer, if the attributes of a common layer contradict its weights."""
    for name, module in model.named_modules():
        try:
            weight, expected = getattr(module, "weight", None), _weight_shape(module)
        except (AttributeError, TypeError, ArithmeticError) as error:
            raise UserError(f"the layer '{name}' of {what} has a wrong attribute, or lacks one: {error}") from None
        if isinstance(weight, Tensor) and expected is not None and tuple(weight.shape) != expected:
            raise misfit(what, f"{name}.weight", f"of shape {tuple(weight.shape)}", f"{expected}")


def misfit(what: object, name: str, given: str, wanted: str) -> UserError:
    """The error for a tensor that does not fit the network."""
    return UserError(f"the tensors of {what} do not fit the network: '{name}' is {given}, it needs {wanted}")


def _weight_shape(module: nn.Module) -> tuple[int, ...] | None:
    match module:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return (module.out_channels, module.in_channels // module.groups, *module.kernel_size)
        case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
            return (module.in_channels, module.out_channels // module.groups, *module.kernel_size)
        case nn.Linear():
            return (module.out_features, module.in_features)
        case nn.modules.batchnorm._BatchNorm():
            return (module.num_features,)
        case nn.LayerNorm():
            return tuple(module.normalized_shape)
        case nn.GroupNorm():
            return (module.num_channels,)
    return None
