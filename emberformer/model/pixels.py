"""The pixel path: EmberFormer from masks and terrain themselves, rendered and encoded as the cache was."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from emberformer.features.backbone import Backbone
from emberformer.features.rendering import dino_input
from emberformer.model.emberformer import EmberFormer

STORED = {"float16": torch.float16, "float32": torch.float32}


class PixelEmberFormer(nn.Module):
    """EmberFormer with its backbone in front; gives what the cached path gives.

    Args:
        backbone: as it made the cache.
        model: network on cached features.
        scale: of the rendering, `FeatureSettings.scale`.
        precision: arithmetic of the backbone, `FeatureSettings.precision`.
        dtype: type that the cache rounds to, `FeatureSettings.dtype`.
    """

    def __init__(self, backbone: Backbone, model: EmberFormer, scale: float, precision: str, dtype: str):
        super().__init__()
        self.backbone, self.encoder, self.model = backbone, backbone.model, model
        self.scale, self.precision, self.dtype = scale, precision, STORED[dtype]

    def encode(self, images: Float[Tensor, "B K H W"]) -> Float[Tensor, "B K Gy Gx D"]:
        """Patch tokens of grey images, rounded as the cache rounds them."""
        pixels = dino_input(images.flatten(0, 1), self.backbone.patch_size, self.scale)
        _, patches = self.backbone.encode(pixels, self.precision)
        return patches.to(self.dtype).float().unflatten(0, images.shape[:2])

    def forward(
        self,
        *,
        frames: Float[Tensor, "B T H W"],
        terrain: Float[Tensor, "B C H W"],
        valid_t: Bool[Tensor, "B T"],
        wind: Float[Tensor, "B T 2"],
        fire_pixels: Float[Tensor, "B 2 H W"],
        terrain_pixels: Float[Tensor, "B K H W"],
        categories: Tensor,
    ) -> Float[Tensor, "B H W"]:
        """Logits of the next burned area.

        Args:
            frames: rendered masks of the history (`render_frame`), whatever stands on padding.
            terrain: rendered terrain bands (`render_terrain`), in the order of the network's bands.
            valid_t: false on padding, whose tokens are zero as in the cached path.
            wind: as in `EmberFormer.forward`.
            fire_pixels: as in `EmberFormer.forward`.
            terrain_pixels: as in `EmberFormer.forward`.
            categories: as in `EmberFormer.forward`.
        """
        frame_patches = self.encode(frames) * valid_t[:, :, None, None, None]
        return self.model(
            frame_patches=frame_patches, terrain_patches=self.encode(terrain), wind=wind, valid_t=valid_t,
            fire_pixels=fire_pixels, terrain_pixels=terrain_pixels, categories=categories,
        )  # fmt: skip
