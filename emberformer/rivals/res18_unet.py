"""U-Net whose encoder is ResNet-18, the network of the studies of WildfireSpreadTS, untrained here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.convolution import norm_of
from emberformer.model.pixel_input import PixelInput
from emberformer.rivals.newest import NewestRival
from emberformer.rivals.pyramid import Ascent, Level, padded_to

STRIDE = 32  # raster pixels on a side of a cell of the coarsest level


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input passes (He et al. 2015, arXiv:1512.03385), with GroupNorm.

    Args:
        inside: channels of the input.
        outside: channels of the output.
        stride: pixels of the input from one of the output to the next.
    """

    def __init__(self, inside: int, outside: int, stride: int = 1):
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False), norm_of(outside, "group"), nn.ReLU()
        )
        self.second = nn.Sequential(nn.Conv2d(outside, outside, 3, padding=1, bias=False), norm_of(outside, "group"))
        projection = nn.Conv2d(inside, outside, 1, stride, bias=False)
        same = stride == 1 and inside == outside
        self.around = nn.Identity() if same else nn.Sequential(projection, norm_of(outside, "group"))

    def forward(self, x: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C h w"]:
        return torch.relu(self.second(self.first(x)) + self.around(x))


def res18_unet(pixels: PixelInput, channels: int) -> NewestRival:
    """ResNet-18 and a U-Net's way up, as studies of WildfireSpreadTS take it.

    Args:
        pixels: what it sees of every pixel.
        channels: width of the first of four stages; 64 in ResNet-18.
    """
    return NewestRival(pixels, Res18UNet(pixels.channels, channels), nn.Conv2d(channels, 1, 1))


class Res18UNet(nn.Module):
    """ResNet-18 and a U-Net's way up.

    As Gerard et al. 2023 (WildfireSpreadTS, NeurIPS Datasets and Benchmarks) take it from Huot et al. 2022
    (arXiv:2112.02447); GroupNorm for BatchNorm, random weights for those of ImageNet.

    Args:
        inside: channels of the input.
        channels: width of the first of four stages, each twice as wide as the one before.
    """

    def __init__(self, inside: int, channels: int):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(inside, channels, 7, stride=2, padding=3), nn.ReLU())
        widths = [channels, *(channels * 2**n for n in range(4))]
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(before, width, 1 if n == 0 else 2), ResidualBlock(width, width))
            for n, (before, width) in enumerate(pairwise(widths))
        )
        self.up = Ascent(widths)
        self.last = Level(channels + inside, channels)

    def forward(self, x: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C H W"]:
        """Features of every pixel; any height and width."""
        height, width = x.shape[2:]
        x = padded_to(x, STRIDE)
        larger = functional.interpolate(self.up(self._levels(x)), scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(torch.cat([larger, x], 1))[:, :, :height, :width]

    def _levels(self, x: Float[Tensor, "B K H W"]) -> Sequence[Float[Tensor, "B _ _ _"]]:
        """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution."""
        features = [self.stem(x)]
        pooled = functional.max_pool2d(features[0], 3, stride=2, padding=1)
        for stage in self.stages:
            features.append(stage(pooled if len(features) == 1 else features[-1]))
        return features
