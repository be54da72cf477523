"""One photograph in memory: decoded, cut and scaled.

simplejpeg, which calls libjpeg-turbo, decodes the same pixels as Pillow a fifth faster; PyTorch scales bytes as Pillow
does, to one step of 255, five times faster. docs/performance.md has the measurements.
"""

import io
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LARGE = 2**26
"""Pixels from which on Pillow decides whether a photograph is too large to be one."""


@dataclass(frozen=True)
class Photograph:
    """RGB pixels, uint8, shape (1, 3, height, width)."""

    pixels: Tensor

    @classmethod
    def decoded(cls, content: bytes) -> Self:
        """From the bytes of a JPEG file, or of another one that Pillow can read; OSError or ValueError if broken."""
        import simplejpeg  # not needed for planning, or for other kinds of data sets

        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
            plain = height * width < LARGE and colours in ("Gray", "YCbCr", "RGB")
            pixels = simplejpeg.decode_jpeg(content, "RGB") if plain else _by_pillow(content)
        except ValueError:  # another format under a JPEG's name, or broken
            pixels = _by_pillow(content)
        return cls(torch.from_numpy(pixels).permute(2, 0, 1)[None])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[3], self.pixels.shape[2]

    def crop(self, box: tuple[int, int, int, int]) -> Self:
        """The part between (left, top, right, bottom)."""
        left, top, right, bottom = box
        return type(self)(self.pixels[:, :, top:bottom, left:right])

    def resize(self, size: tuple[int, int]) -> Self:
        """Scaled to (width, height): bilinear, and averaging where several pixels become one."""
        return type(self)(F.interpolate(self.pixels, (size[1], size[0]), mode="bilinear", antialias=True))


def _by_pillow(content: bytes) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as photograph:
            return np.array(photograph.convert("RGB"))
    except (SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
