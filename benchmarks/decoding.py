"""How many photographs per second are decoded, cut and scaled on one thread, and what other libraries reach.

    python -m benchmarks.decoding

JPEG files of 500 x 375 pixels and about 80 kB, to 224 x 224. Medians of repeats that
take turns, so that a busy machine slows all equally.
"""

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

from bench.data._crops import central, random_part
from bench.data._photographs import Photograph

COUNT = 128
REPEATS = 7
SIDE = 224


class ByPillow:
    """A photograph that Pillow decodes, cuts and scales."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image

    @classmethod
    def decoded(cls, content: bytes) -> "ByPillow":
        """From the bytes of a file."""
        return cls(Image.open(io.BytesIO(content)).convert("RGB"))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.image.size

    def crop(self, box: tuple[int, int, int, int]) -> "ByPillow":
        """A part."""
        return ByPillow(self.image.crop(box))

    def resize(self, size: tuple[int, int]) -> "ByPillow":
        """Scaled."""
        return ByPillow(self.image.resize(size, Image.Resampling.BILINEAR))


def decoded_by_pillow(content: bytes) -> Photograph:
    """Pillow decodes, PyTorch scales."""
    pixels = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    return Photograph(torch.from_numpy(pixels).permute(2, 0, 1)[None])


def decoded_by_torchvision(content: bytes) -> Photograph:
    """torchvision's decoder, which it has declared deprecated, and PyTorch's scaling."""
    return Photograph(torch.ops.image.decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), 3)[None])


DECODERS: dict[str, Callable[[bytes], object]] = {
    "Pillow alone": ByPillow.decoded,
    "Pillow, then PyTorch": decoded_by_pillow,
    "torchvision, then PyTorch": decoded_by_torchvision,
    "simplejpeg, then PyTorch (the suite)": Photograph.decoded,
}
CROPS: dict[str, Callable[..., object]] = {
    "middle squares": partial(central, size=SIDE),
    "random parts": partial(random_part, size=SIDE, seed=0),
}


def main() -> None:
    """Print photographs per second, and how many times as many as by Pillow alone."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, {COUNT} photographs, one thread")
    for crops, rates in measured().items():
        first = next(iter(rates.values()))
        for name, rate in rates.items():
            print(f"{crops:15s} {name:38s} {rate:6.0f} per second, {rate / first:.2f} x")


def measured() -> dict[str, dict[str, float]]:
    """Crop -> decoder -> photographs per second."""
    with tempfile.TemporaryDirectory() as folder:
        contents = [file.read_bytes() for file in _written(Path(folder))]
    return {name: _rates(crop, contents) for name, crop in CROPS.items()}


def _rates(crop: Callable[..., object], contents: list[bytes]) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in DECODERS}
    for _ in range(REPEATS):
        for name, decoded in DECODERS.items():
            start = time.perf_counter()
            for content in contents:
                crop(decoded(content))
            rates[name].append(COUNT / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in rates.items()}


def _written(folder: Path) -> list[Path]:
    """Smooth photographs, which take about 80 kB each."""
    rng = np.random.default_rng(0)
    files = [folder / f"{index}.JPEG" for index in range(COUNT)]
    for file in files:
        coarse = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(file, quality=95)
    return files


if __name__ == "__main__":
    main()
