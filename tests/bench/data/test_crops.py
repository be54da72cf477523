"""Which part of a photograph is shown, from the box that is cut: by hand, and in distribution against torchvision."""

import random

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from bench.data._crops import central, random_part
from bench.data._jpeg import JpegImages


class Photograph:
    """Only a size; remembers the box that was cut, and what it was scaled to."""

    def __init__(self, width, height):
        self.size = width, height

    def crop(self, box):
        self.box = box
        return self

    def resize(self, size):
        self.scaled = size
        return self


@pytest.mark.parametrize(
    ("photograph", "size", "scaled", "box"),
    [
        ((300, 200), 224, (384, 256), (80, 16, 304, 240)),
        ((200, 301), 224, (256, 385), (16, 80, 240, 304)),  # 80.5 is rounded to even
        ((100, 100), 112, (128, 128), (8, 8, 120, 120)),
        ((512, 256), 28, (64, 32), (18, 2, 46, 30)),
    ],
)
def test_the_middle_square_of_a_photograph_scaled_to_eight_sevenths(photograph, size, scaled, box):
    seen = Photograph(*photograph)
    central(seen, size)
    assert (seen.scaled, seen.box) == (scaled, box)


def test_random_parts_have_torchvisions_areas_shapes_and_places():
    width, height = 2400, 2000
    drawn = []
    for seed in range(6000):
        photograph = Photograph(width, height)
        random_part(photograph, 32, seed)
        left, top, right, bottom = photograph.box
        assert 0 <= left < right <= width and 0 <= top < bottom <= height and photograph.scaled == (32, 32)
        drawn.append((right - left, bottom - top, left, top))
    w, h, left, top = np.array(drawn, float).T
    crop, image = v2.RandomResizedCrop(32), torch.empty(3, height, width)
    made = [crop.make_params([image]) for _ in range(6000)]
    other_w, other_h, other_left, other_top = (
        np.array([m[k] for m in made]) for k in ("width", "height", "left", "top")
    )
    areas, aspects = w * h / (width * height), w / h
    assert 0.0799 < areas.min() < 0.081 and 0.97 < areas.max() <= 1
    assert 0.749 < aspects.min() < 0.7525 and 1.329 < aspects.max() < 1.335
    for ours, theirs in (
        (areas, other_w * other_h / (width * height)),
        (np.log(aspects), np.log(other_w / other_h)),
        (left / (width - w).clip(1), other_left / (width - other_w).clip(1)),
        (top / (height - h).clip(1), other_top / (height - other_h).clip(1)),
    ):
        spread = theirs.std()
        for share in (0.1, 0.3, 0.5, 0.7, 0.9):
            assert abs(np.quantile(ours, share) - np.quantile(theirs, share)) < 0.08 * spread


@pytest.mark.parametrize(
    ("size", "box"),
    [((1000, 3), (498, 0, 502, 3)), ((3, 1000), (0, 498, 3, 502)), ((4000, 31), (1979, 0, 2020, 31)),
     ((31, 1000), (0, 479, 31, 520))],
)  # fmt: skip
def test_the_middle_of_a_photograph_too_long_for_any_part(size, box):
    """As wide as 4 : 3 of its height, or as high as 4 : 3 of its width."""
    photograph = Photograph(*size)
    random_part(photograph, 16, 0)
    assert (photograph.box, photograph.scaled) == (box, (16, 16))


def test_ten_parts_are_tried_before_the_middle_is_taken():
    """In a photograph of 100 x 17, one part in five fits: which of the seed's draws do, is worked out here."""
    firsts = []
    for seed in range(60):
        draw, fitting = random.Random(seed), []
        for _ in range(12):
            area, aspect = 1700 * draw.uniform(0.08, 1), np.exp(draw.uniform(np.log(3 / 4), np.log(4 / 3)))
            w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            fitting.append((w, h) if w <= 100 and h <= 17 else None)
        first = next((number for number, fits in enumerate(fitting) if fits), 12)
        photograph = Photograph(100, 17)
        random_part(photograph, 16, seed)
        left, top, right, bottom = photograph.box
        firsts.append(first)
        if first < 10:
            assert (right - left, bottom - top) == fitting[first]
        else:
            assert photograph.box == (38, 0, 61, 17)
    assert {0, 9, 10} <= set(firsts)


def test_each_image_is_cut_by_a_seed_of_its_own_drawn_in_order(monkeypatch):
    def decoded(self, chosen, crops):
        return [
            (index, crop.keywords["seed"], crop.keywords["size"])
            for index, crop in zip(chosen.tolist(), crops, strict=True)
        ]

    monkeypatch.setattr(JpegImages, "_decoded", decoded)
    images = JpegImages(None, torch.zeros(9, 1), torch.zeros(9), 24)
    chosen = torch.tensor([5, 2, 7, 2])
    whole = images.resized_crops(chosen, torch.Generator().manual_seed(3))
    assert [index for index, _, _ in whole] == [5, 2, 7, 2] and {size for _, _, size in whole} == {24}
    assert len({seed for _, seed, _ in whole}) == 4 and max(seed for _, seed, _ in whole) > 2**60
    assert images.resized_crops(chosen, torch.Generator().manual_seed(3), slice(1, 3)) == whole[1:3]
    generator = torch.Generator().manual_seed(3)
    images.resized_crops(chosen, generator)
    assert images.resized_crops(chosen, generator) != whole, "each batch draws on"
