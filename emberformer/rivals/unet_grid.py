"""U-Net on the patch grid: what a patch knows on average, without features of a backbone and without single pixels."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.pixel_input import PixelInput
from emberformer.network import SpreadNetwork
from emberformer.rivals.unet import UNet


class GridUNet(SpreadNetwork):
    """U-Net of the means over each patch (burned share, recency, wind, terrain, categories), enlarged to the raster.

    Args:
        pixels: what is averaged.
        patch: raster pixels on a side of a patch.
        channels: width of the finest of its four levels.
    """

    inputs = ("fire_pixels", "wind", "terrain_pixels", "categories")

    def __init__(self, pixels: PixelInput, patch: int, channels: int):
        super().__init__()
        self.pixels, self.patch = pixels, patch
        self.body = UNet(pixels.channels, channels)
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
        grid = functional.avg_pool2d(self.pixels(fire_pixels, wind[:, -1], ground), self.patch)
        logits = self.head(self.body(grid))
        return functional.interpolate(logits, scale_factor=self.patch, mode="bilinear", align_corners=False)[:, 0]
