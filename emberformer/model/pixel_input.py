"""What is known of every pixel of the raster: fire, wind, terrain and categories, side by side as channels."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

FIRE_CHANNELS = 2  # newest burned area, share of the history in which a pixel was burned
CATEGORY_FEATURES = 6


class PixelInput(nn.Module):
    """Fire, wind, terrain and learned codes of the categories at every pixel.

    Args:
        terrain_pixels: continuous terrain channels, K.
        category_sizes: rows of each categorical band's table; row 0 is 'unknown'.
    """

    def __init__(self, terrain_pixels: int, category_sizes: tuple[int, ...]):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, CATEGORY_FEATURES) for size in category_sizes)
        self.ground_channels = terrain_pixels + CATEGORY_FEATURES * len(category_sizes)
        self.channels = FIRE_CHANNELS + 2 + self.ground_channels

    def ground(
        self, terrain_pixels: Float[Tensor, "B K H W"], categories: Int[Tensor, "B Q H W"]
    ) -> list[Float[Tensor, "B H W _"]]:
        """What does not burn or blow: terrain and codes of the categories, to be put side by side."""
        embedded = [table(categories[:, n]) for n, table in enumerate(self.tables)]
        return [terrain_pixels.permute(0, 2, 3, 1), *embedded]

    @staticmethod
    def side_by_side(known: list[Float[Tensor, "B H W _"]]) -> Float[Tensor, "B C H W"]:
        """What is known of every pixel as channels, innermost in memory, as the convolutions run fastest."""
        return torch.cat(known, -1).permute(0, 3, 1, 2)

    def forward(
        self,
        fire_pixels: Float[Tensor, "B 2 H W"],
        wind: Float[Tensor, "B 2"],
        ground: list[Float[Tensor, "B H W _"]],
    ) -> Float[Tensor, "B P H W"]:
        """All of it."""
        everywhere = wind[:, None, None].expand(-1, *fire_pixels.shape[2:], -1)
        return self.side_by_side([fire_pixels.permute(0, 2, 3, 1), everywhere, *ground])
