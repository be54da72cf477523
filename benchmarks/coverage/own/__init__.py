"""Small networks of the kinds that libraries of classifiers do not have, each built as its authors describe it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.coverage.own.detector import detector
from benchmarks.coverage.own.detr import detr
from benchmarks.coverage.own.diffusion import diffusion
from benchmarks.coverage.own.pyramid import pyramid
from benchmarks.coverage.own.unet import unet

__all__ = ["OWN", "Own", "detector", "detr", "diffusion", "pyramid", "unet"]


@dataclass(frozen=True)
class Own:
    """A network of our own.

    factory      builds it
    inputs       from images of shape (n, 3, h, w), what it is called with: a tensor, a tuple, or a dictionary
    outputs      names of the layers that write its outputs
    classifiers  names of the layers whose inputs are the final responses, as a user gives them where several layers
                 write the outputs and not all of them matter; None: the library finds them
    """

    factory: Callable[[], nn.Module]
    inputs: Callable[[Tensor], Any]
    outputs: tuple[str, ...]
    classifiers: tuple[str, ...] | None = None


def _images(images: Tensor) -> Tensor:
    return images


def _with_steps(images: Tensor) -> tuple[Tensor, Tensor]:
    return images, torch.arange(1, len(images) + 1) * 100


def _named(images: Tensor) -> dict[str, Tensor]:
    return {"pixel_values": images}


OWN = {
    "unet": Own(unet, _images, ("classifier",)),
    "detector": Own(
        detector,
        _images,
        tuple(f"head.{part}.{level}.2" for part in ("boxes", "classes") for level in range(3)),
        tuple(f"head.{part}.{level}.2" for part in ("boxes", "classes") for level in range(3)),
    ),
    "pyramid": Own(pyramid, _images, ("classes.out", "boxes.out"), ("classes.out", "boxes.out")),
    "detr": Own(detr, _named, ("classes", "boxes.2"), ("classes",)),
    "diffusion": Own(diffusion, _with_steps, ("out",)),
}
