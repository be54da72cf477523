"""A network that predicts noise, like that of denoising diffusion (Ho, Jain, Abbeel 2020).

Residual blocks with group norm, which an embedding of the time step reaches; attention at the lowest resolution.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Two convolutions; the time step's embedding is added between them."""

    def __init__(self, inputs: int, outputs: int, times: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, inputs), nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(times, outputs)
        self.norm2, self.conv2 = nn.GroupNorm(8, outputs), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Maps, shape (n, inputs, h, w), and embeddings, shape (n, times) -> shape (n, outputs, h, w)."""
        y = self.conv1(F.silu(self.norm1(x)))
        y = y + self.time(F.silu(time))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(y)))


class Attention(nn.Module):
    """All positions attend to all."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.qkv, self.out = (
            nn.GroupNorm(8, width),
            nn.Conv2d(width, 3 * width, 1),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        n, _, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, 3, self.heads, -1, h * w).transpose(3, 4).unbind(1)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(2, 3).reshape(n, -1, h, w))


class Diffusion(nn.Module):
    """A U-Net of residual blocks; the time step is its second input."""

    def __init__(self, width: int, multiples: tuple[int, ...]) -> None:
        super().__init__()
        times = 4 * width
        widths = [width * multiple for multiple in multiples]
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, times), nn.SiLU(), nn.Linear(times, times))
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        pairs = list(zip([width, *widths], widths, strict=False))
        self.down = nn.ModuleList(Residual(a, b, times) for a, b in pairs)
        self.smaller = nn.ModuleList(nn.Conv2d(b, b, 3, 2, 1) for b in widths[:-1])
        self.middle1, self.attention = Residual(widths[-1], widths[-1], times), Attention(widths[-1])
        self.middle2 = Residual(widths[-1], widths[-1], times)
        self.up = nn.ModuleList(Residual(2 * b, a, times) for a, b in reversed(pairs))
        self.larger = nn.ModuleList(nn.Conv2d(b, b, 3, padding=1) for b in reversed(widths[:-1]))
        self.norm, self.out = nn.GroupNorm(8, width), nn.Conv2d(width, 3, 3, padding=1)

    def embedded(self, steps: Tensor) -> Tensor:
        """Sines and cosines of whole numbers, shape (n,) -> (n, times)."""
        half = self.width // 2
        rates = torch.exp(torch.arange(half, device=steps.device) * (-math.log(10000) / (half - 1)))
        angles = steps[:, None] * rates.to(self.out.weight.dtype)
        return self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))

    def forward(self, noisy: Tensor, steps: Tensor) -> Tensor:
        """Images, and the time step of each, shape (n,), int64 -> the noise, of the images' shape."""
        time = self.embedded(steps)
        x, maps = self.stem(noisy), []
        for index, block in enumerate(self.down):
            x = block(x, time)
            maps.append(x)
            if index < len(self.smaller):
                x = self.smaller[index](x)
        x = self.middle2(self.attention(self.middle1(x, time)), time)
        for index, block in enumerate(self.up):
            if index:
                x = self.larger[index - 1](F.interpolate(x, scale_factor=2.0, mode="nearest"))
            x = block(torch.cat([x, maps.pop()], dim=1), time)
        return self.out(F.silu(self.norm(x)))


def diffusion() -> nn.Module:
    """Three resolutions."""
    return Diffusion(32, (1, 2, 4))
