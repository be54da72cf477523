"""How many photographs per second the suite decodes: python benchmarks/decoding.py [threads]."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.data._jpeg import JpegImages

COUNT = 256


def main() -> None:
    """Print the rates of evaluation and of training images, from JPEG files of 500x375 (ImageNet's average)."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    with tempfile.TemporaryDirectory() as folder:
        images = JpegImages.listed(Path(folder), _written(Path(folder)), 224)
        everything = torch.arange(COUNT)
        for what, decode in (
            ("middle squares", lambda: images[everything]),
            ("resized crops", lambda: images.resized_crops(everything, torch.Generator())),
        ):
            start = time.perf_counter()
            decode()
            rate = COUNT / (time.perf_counter() - start)
            print(f"{what}: {rate:.0f} photographs per second on {torch.get_num_threads()} threads")


def _written(folder: Path) -> list[Path]:
    """Smooth photographs, which take about 110 kB each, as ImageNet's do."""
    rng = np.random.default_rng(0)
    files = [folder / f"{index}.JPEG" for index in range(COUNT)]
    for file in files:
        coarse = Image.fromarray(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(file, quality=95)
    return files


if __name__ == "__main__":
    main()
