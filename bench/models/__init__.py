"""The model zoo, one file per family: a module with ``build(depth, in_channels, image_size, classes) -> nn.Module``.

A family that comes in several depths lists them in ``DEPTHS``.
"""
