"""Crops of photographs, as in torchvision's reference recipes for ImageNet."""

import math
import random
from typing import Protocol, Self, TypeVar

AREA = (0.08, 1.0)
"""Share of the photograph that a random part covers."""
ASPECT = (3 / 4, 4 / 3)
"""Width to height of a random part."""


class Sized(Protocol):
    """What can be cut and scaled: bench.data._photographs.Photograph."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    def crop(self, box: tuple[int, int, int, int]) -> Self:
        """The part between (left, top, right, bottom)."""

    def resize(self, size: tuple[int, int]) -> Self:
        """Scaled to (width, height)."""


Picture = TypeVar("Picture", bound=Sized)


def central(photograph: Picture, size: int) -> Picture:
    """The middle square of a photograph whose shorter side was scaled to 8/7 of ``size`` (256 for 224)."""
    width, height = photograph.size
    shorter = round(size * 256 / 224)
    if width <= height:
        width, height = shorter, shorter * height // width
    else:
        width, height = shorter * width // height, shorter
    left, top = round((width - size) / 2), round((height - size) / 2)
    return photograph.resize((width, height)).crop((left, top, left + size, top + size))


def random_part(photograph: Picture, size: int, seed: int) -> Picture:
    """A part of random area, shape and place, fixed by ``seed``, scaled to a square (Szegedy et al. 2015)."""
    width, height = photograph.size
    draw = random.Random(seed)  # noqa: S311
    for _ in range(10):
        area = width * height * draw.uniform(*AREA)
        aspect = math.exp(draw.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = draw.randint(0, width - w), draw.randint(0, height - h)
            break
    else:  # a photograph too elongated for any part: its middle, as wide or as high as allowed
        w, h = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
        left, top = (width - w) // 2, (height - h) // 2
    return photograph.crop((left, top, left + w, top + h)).resize((size, size))
