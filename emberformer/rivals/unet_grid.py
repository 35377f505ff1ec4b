"""U-Net on the patch grid: what a patch knows on average, without features of a backbone and without single pixels."""

from __future__ import annotations

from torch import nn

from emberformer.model.pixel_input import PixelInput
from emberformer.rivals.newest import NewestRival
from emberformer.rivals.unet import UNet


def grid_unet(pixels: PixelInput, patch: int, channels: int) -> NewestRival:
    """U-Net of the means over each patch (burned share, recency, wind, terrain, categories), enlarged to the raster.

    Args:
        pixels: what is averaged.
        patch: raster pixels on a side of a patch.
        channels: width of the finest of its four levels.
    """
    body = nn.Sequential(nn.AvgPool2d(patch), UNet(pixels.channels, channels))
    larger = nn.Upsample(scale_factor=patch, mode="bilinear", align_corners=False)
    return NewestRival(pixels, body, nn.Sequential(nn.Conv2d(channels, 1, 1), larger))
