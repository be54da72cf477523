"""Small networks that make images: U-Nets, generators, super-resolution, segmentation."""

import torch
import torch.nn.functional as F
from torch import nn


def twice(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    """Ronneberger et al. 2015: transposed convolutions, and skips that are concatenated."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.bottom = twice(3, 8), twice(8, 12), twice(12, 16)
        self.up2, self.merge2 = nn.ConvTranspose2d(16, 12, 2, stride=2), twice(24, 12)
        self.up1, self.merge1 = nn.ConvTranspose2d(12, 8, 2, stride=2), twice(16, 8)
        self.out = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        x = self.bottom(F.max_pool2d(second, 2))
        x = self.merge2(torch.cat([second, self.fitted(self.up2(x), second)], 1))
        return self.out(self.merge1(torch.cat([first, self.fitted(self.up1(x), first)], 1)))

    @staticmethod
    def fitted(x, skip):
        dy, dx = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
        return F.pad(x, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])


class SumNet(nn.Module):
    """LinkNet and V-Net: skips that are added, output padding, a transposed convolution as the output."""

    def __init__(self):
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.squeeze = nn.Conv2d(16, 6, 1)
        self.up = nn.ConvTranspose2d(6, 6, 3, stride=2, padding=1, output_padding=1, groups=6)
        self.expand, self.act = nn.ConvTranspose2d(6, 8, 1), nn.PReLU(8)
        self.out = nn.ConvTranspose2d(8, 2, 2, stride=2)

    def forward(self, x):
        skip = F.relu(self.stem(x))
        x = F.elu(self.up(F.elu(self.squeeze(F.elu(self.down(skip))))))
        return self.out(self.act(self.expand(x)) + skip)


class Generator(nn.Sequential):
    """DCGAN (Radford et al. 2016)."""

    def __init__(self):
        super().__init__(
            nn.ConvTranspose2d(6, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
            nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
            nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh(),
        )  # fmt: skip


class ESPCN(nn.Module):
    """Shi et al. 2016: the last sub-pixels are the output."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 5, padding=2), nn.Conv2d(16, 8, 3, padding=1)
        self.out, self.shuffle = nn.Conv2d(8, 27, 3, padding=1), nn.PixelShuffle(3)

    def forward(self, x):
        return self.shuffle(self.out(torch.tanh(self.second(torch.tanh(self.first(x))))))


class EDSR(nn.Module):
    """Lim et al. 2017: residual blocks, then sub-pixels that are read by further layers."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)) for _ in range(2)
        )
        self.tail = nn.Sequential(nn.Conv2d(8, 32, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(8, 3, 3, padding=1))

    def forward(self, x):
        x = skip = self.head(x)
        for block in self.body:
            x = x + 0.1 * block(x)
        return self.tail(x + skip)


class VAEDecoder(nn.Module):
    """Features that become maps; their number is derived from their size."""

    def __init__(self):
        super().__init__()
        self.fill = nn.Linear(5, 8 * 4 * 4)
        self.up = nn.Sequential(nn.ConvTranspose2d(8, 6, 3, 2, 1, 1), nn.BatchNorm2d(6), nn.LeakyReLU())
        self.out = nn.Conv2d(6, 1, 3, padding=1)

    def forward(self, z):
        return torch.sigmoid(self.out(self.up(F.relu(self.fill(z)).view(z.size(0), -1, 4, 4))))


class Segmenter(nn.Module):
    """FCN and DeepLab: several dilations, a pooled branch, an upsampled head, and GLU and maxout on the way."""

    def __init__(self):
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.GLU(dim=1)
        self.near, self.far = nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(6, 8, 3, padding=3, dilation=3)
        self.pooled = nn.Conv2d(6, 4, 1)
        self.fuse, self.up = nn.Conv2d(16, 10, 1), nn.ConvTranspose2d(10, 6, 4, 2, 1)
        self.out = nn.Conv2d(6, 5, 1)

    def forward(self, x):
        x = self.gate(self.stem(x))
        mean = F.interpolate(self.pooled(F.adaptive_avg_pool2d(x, 1)), size=x.shape[2:], mode="bilinear")
        far = self.far(x)
        far = far.view(len(x), 2, far.shape[1] // 2, *far.shape[2:]).amax(1)
        x = self.fuse(torch.cat([F.relu(self.near(x)), far, mean], 1))
        return self.out(F.relu(self.up(F.relu(x))))


class Volumes(nn.Module):
    """A three-dimensional U-Net with trilinear and transposed upsampling."""

    def __init__(self):
        super().__init__()
        self.enc, self.down = nn.Conv3d(1, 6, 3, padding=1), nn.Conv3d(6, 8, 2, stride=2)
        self.up, self.dec = nn.ConvTranspose3d(8, 6, 2, stride=2), nn.Conv3d(12, 6, 3, padding=1)
        self.out = nn.Conv3d(6, 2, 1)
        self.norm = nn.InstanceNorm3d(6, affine=True)

    def forward(self, x):
        skip = F.leaky_relu(self.norm(self.enc(x)))
        return self.out(F.relu(self.dec(torch.cat([self.up(F.relu(self.down(skip))), skip], 1))))


class Waves(nn.Module):
    """A decoder of waveforms: one-dimensional transposed convolutions with gates."""

    def __init__(self):
        super().__init__()
        self.first, self.up = nn.Conv1d(4, 12, 3, padding=1), nn.ConvTranspose1d(12, 16, 8, stride=4, padding=2)
        self.mix, self.out = nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=2), nn.Conv1d(8, 1, 7, padding=3)

    def forward(self, x):
        a, b = self.up(F.leaky_relu(self.first(x))).chunk(2, dim=1)
        return torch.tanh(self.out(self.mix(torch.tanh(a) * torch.sigmoid(b))))
