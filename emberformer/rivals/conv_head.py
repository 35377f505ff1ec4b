"""A few convolutions on what is known of every pixel now: no history, no scale beyond its few pixels of sight."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from emberformer.model.convolution import Convolution
from emberformer.model.pixel_input import PixelInput
from emberformer.network import SpreadNetwork
from emberformer.rivals.pyramid import Entry


class ConvHead2D(SpreadNetwork):
    """Newest burned area, recency, newest wind, terrain and categories through four 3 x 3 convolutions.

    Args:
        pixels: what it sees of every pixel.
        channels: width.
    """

    inputs = ("fire_pixels", "wind", "terrain_pixels", "categories")

    def __init__(self, pixels: PixelInput, channels: int):
        super().__init__()
        self.pixels = pixels
        self.body = nn.Sequential(
            Entry(pixels.channels, channels), *(Convolution(channels, channels) for _ in range(3))
        )
        self.head = nn.Conv2d(channels, 1, 1)

    def parts(self) -> dict[str, list[nn.Module]]:
        return {"decoder": [self]}

    def forward(
        self,
        *,
        fire_pixels: Float[Tensor, "B 2 H W"],
        wind: Float[Tensor, "B T 2"],
        terrain_pixels: Float[Tensor, "B K H W"],
        categories: Int[Tensor, "B Q H W"],
    ) -> Float[Tensor, "B H W"]:
        """Logits of the next burned area; arguments as in `EmberFormer.forward`."""
        ground = self.pixels.ground(terrain_pixels, categories)
        return self.head(self.body(self.pixels(fire_pixels, wind[:, -1], ground)))[:, 0]
