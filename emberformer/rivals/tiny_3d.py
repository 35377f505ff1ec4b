"""Convolutions over space and time together, as one would for a short video."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.convolution import Convolution
from emberformer.model.pixel_input import PixelInput
from emberformer.network import SpreadNetwork
from emberformer.rivals.moments import MOMENT_CHANNELS, moments
from emberformer.rivals.pyramid import Entry

SIGHT = 5  # newest moments that two kernels of three see


class Tiny3D(SpreadNetwork):
    """Two 3 x 3 x 3 convolutions on burned areas and wind, the newest result then beside terrain and categories.

    What lies before the history is zero in both layers, so that padding and nothing are the same.

    Args:
        pixels: what it sees of every pixel at the newest moment.
        channels: width; of the convolutions over time half of it.
    """

    inputs = ("history_pixels", "valid_t", "fire_pixels", "wind", "terrain_pixels", "categories")

    def __init__(self, pixels: PixelInput, channels: int):
        super().__init__()
        self.pixels, half = pixels, channels // 2
        self.over_time = nn.ModuleList(
            nn.Conv3d(inside, half, 3, padding=(0, 1, 1)) for inside in (MOMENT_CHANNELS, half)
        )
        self.now = Entry(pixels.channels, channels)
        self.body = nn.Sequential(Convolution(channels + half, channels), Convolution(channels, channels))
        self.head = nn.Conv2d(channels, 1, 1)

    def parts(self) -> dict[str, list[nn.Module]]:
        return {"decoder": [self]}

    def forward(
        self,
        *,
        history_pixels: Real[Tensor, "B T H W"],
        valid_t: Bool[Tensor, "B T"],
        fire_pixels: Float[Tensor, "B 2 H W"],
        wind: Float[Tensor, "B T 2"],
        terrain_pixels: Float[Tensor, "B K H W"],
        categories: Int[Tensor, "B Q H W"],
    ) -> Float[Tensor, "B H W"]:
        """Logits of the next burned area; arguments as in `EmberFormer.forward`."""
        history_pixels, wind, valid_t = (x[:, -SIGHT:] for x in (history_pixels, wind, valid_t))
        missing = SIGHT - valid_t.shape[1]
        real = functional.pad(valid_t, (missing, 0))[:, None, :, None, None]
        x = moments(history_pixels, wind, valid_t).transpose(1, 2)
        x = functional.pad(x, (0, 0, 0, 0, missing, 0))
        for layer in self.over_time:
            x = torch.relu(layer(x))
            x = x * real[:, :, -x.shape[2] :]
        ground = self.pixels.ground(terrain_pixels, categories)
        now = self.now(self.pixels(fire_pixels, wind[:, -1], ground))
        return self.head(self.body(torch.cat([now, x[:, :, 0]], 1)))[:, 0]
