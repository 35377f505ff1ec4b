"""Rivals that see the newest moment alone: a body on what is known of every pixel now, and a head."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from emberformer.model.pixel_input import PixelInput
from emberformer.network import SpreadNetwork


class NewestRival(SpreadNetwork):
    """Newest burned area, recency of the burn, newest wind, terrain and categories, to a logit a pixel.

    Args:
        pixels: what it sees of every pixel.
        body: features from it.
        head: logits [B 1 H W] from the features.
    """

    inputs = ("fire_pixels", "wind", "terrain_pixels", "categories")

    def __init__(self, pixels: PixelInput, body: nn.Module, head: nn.Module):
        super().__init__()
        self.pixels, self.body, self.head = pixels, body, head

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
