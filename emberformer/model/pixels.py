"""The pixel path: EmberFormer from masks and terrain themselves, rendered and encoded as the cache was."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from emberformer.features.backbone import Backbone
from emberformer.features.encoding import Encoding
from emberformer.features.rendering import dino_input
from emberformer.features.shape import Axis
from emberformer.model.emberformer import EmberFormer


class PixelEmberFormer(nn.Module):
    """EmberFormer with its backbone in front; gives what the cached path gives.

    Args:
        backbone: as it made the cache.
        model: network on cached features.
        scale: of the rendering, `FeatureSettings.scale`.
        encoding: of the store, which rounds or projects tokens.
    """

    def __init__(self, backbone: Backbone, model: EmberFormer, scale: float, encoding: Encoding):
        super().__init__()
        self.backbone, self.encoder, self.model = backbone, backbone.model, model
        self.scale, self.encoding = scale, encoding

    def encode(self, images: Float[Tensor, "B K H W"], axis: Axis) -> Float[Tensor, "B K Gy Gx k"]:
        """Patch tokens of grey images as a reader of the store gets them; gradients pass as if nothing were rounded.

        Args:
            images: rendered images in [0, 1].
            axis: 'frame' or 'terrain', whose tokens the store may keep in different ways.
        """
        pixels = dino_input(images.flatten(0, 1), self.backbone.patch_size, self.scale)
        patches = self.backbone.encode(pixels).patches
        stored = self.encoding.rounded(patches.detach(), axis)
        if patches.requires_grad:
            exact = self.encoding.project(patches, axis)
            stored = exact + (stored - exact).detach()
        return stored.unflatten(0, images.shape[:2])

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
        resolution: Float[Tensor, "B 2"] | None = None,
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
            resolution: as in `EmberFormer.forward`.
        """
        padded = self.encode(frames, "frame")
        return self.model(
            frame_patches=torch.where(valid_t[:, :, None, None, None], padded, 0),
            terrain_patches=self.encode(terrain, "terrain"), wind=wind, valid_t=valid_t,
            fire_pixels=fire_pixels, terrain_pixels=terrain_pixels, categories=categories, resolution=resolution,
        )  # fmt: skip
