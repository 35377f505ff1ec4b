"""A few convolutions on what is known of every pixel now: no history, no scale beyond its few pixels of sight."""

from __future__ import annotations

from torch import nn

from emberformer.model.convolution import Convolution
from emberformer.model.pixel_input import PixelInput
from emberformer.rivals.newest import NewestRival
from emberformer.rivals.pyramid import Entry


def conv_head_2d(pixels: PixelInput, channels: int) -> NewestRival:
    """ConvHead2D: four 3 x 3 convolutions.

    Args:
        pixels: what it sees of every pixel.
        channels: width.
    """
    body = nn.Sequential(Entry(pixels.channels, channels), *(Convolution(channels, channels) for _ in range(3)))
    return NewestRival(pixels, body, nn.Conv2d(channels, 1, 1))
