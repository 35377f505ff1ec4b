"""EmberFormer: composition of fusion, temporal transformer, decoder and refinement; no layer of its own."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from emberformer.model.decoders.build import build_decoder
from emberformer.model.decoders.decoder import SpatialDecoder
from emberformer.model.fusion import BandMix, ConcatFusion
from emberformer.model.history import look_back, look_back_near_fire, patches_near_fire
from emberformer.model.refinement import Refinement
from emberformer.model.temporal import TemporalTransformer
from emberformer.network import SpreadNetwork

FIRE_CHANNELS = 2  # newest burned area, share of the history in which a pixel was burned


class EmberFormer(SpreadNetwork):
    """Probability (as a logit) that a pixel is burned at the next step.

    Args:
        bands: mix of the terrain bands' features.
        fusion: fire, terrain and wind to one token.
        temporal: tokens of the history to the newest one.
        decoder: token grid to coarse features and logits.
        refinement: coarse to full resolution.
        category_embeddings: one table a categorical band; row 0 is 'unknown'.
        reach: patches from the newest burned area within which a patch looks back along its history; None: all do.
    """

    inputs = (
        "frame_patches", "terrain_patches", "wind", "valid_t", "fire_pixels", "terrain_pixels", "categories",
        "resolution",
    )  # fmt: skip

    def __init__(
        self,
        bands: BandMix,
        fusion: ConcatFusion,
        temporal: TemporalTransformer,
        decoder: SpatialDecoder,
        refinement: Refinement,
        category_embeddings: nn.ModuleList,
        reach: int | None = None,
    ):
        super().__init__()
        self.bands, self.fusion, self.temporal = bands, fusion, temporal
        self.decoder, self.refinement = decoder, refinement
        self.category_embeddings, self.reach = category_embeddings, reach
        if decoder.takes_layers:
            self.inputs = (*self.inputs, "frame_layers")

    def parts(self) -> dict[str, list[nn.Module]]:
        return {
            "temporal": [self.bands, self.fusion, self.temporal],
            "decoder": [self.decoder, self.refinement, self.category_embeddings],
        }

    def forward(
        self,
        *,
        frame_patches: Float[Tensor, "B T Gy Gx D"],
        terrain_patches: Float[Tensor, "B C Gy Gx D"],
        wind: Float[Tensor, "B T 2"],
        valid_t: Bool[Tensor, "B T"],
        fire_pixels: Float[Tensor, "B 2 H W"],
        terrain_pixels: Float[Tensor, "B K H W"],
        categories: Int[Tensor, "B Q H W"],
        frame_layers: Float[Tensor, "B L Gy Gx D"] | None = None,
        resolution: Float[Tensor, "B 2"] | None = None,
    ) -> Float[Tensor, "B H W"]:
        """Logits of the next burned area.

        Args:
            frame_patches: cached tokens of the history, oldest first, zero where padded on the left; in the type that
                they are stored in, or any wider one.
            terrain_patches: cached tokens of the terrain bands, likewise; zero for a band that the landscape lacks.
            wind: (u, v) in units of 10 m/s from each frame to the next, towards.
            valid_t: false on padding; the newest frame is always real.
            fire_pixels: newest burned area and recency of the burn, on the raster.
            terrain_pixels: normalised terrain on the raster.
            categories: indices of categorical bands on the raster, 0 = unknown.
            frame_layers: cached tokens of the newest frame after some blocks, where the decoder takes them.
            resolution: metres of a pixel and seconds of a step, for the travel time of fire; None: its reference.
        """
        rows, columns = frame_patches.shape[2:4]
        parts = {
            "fire": frame_patches.flatten(2, 3).transpose(1, 2),
            "terrain": self.bands(terrain_patches).flatten(1, 2),
            "wind": wind,
            "valid_t": valid_t,
        }
        if self.reach is None:
            newest = look_back(self.fusion, self.temporal, **parts)
        else:
            near = patches_near_fire(fire_pixels[:, 0], self.refinement.pixels, self.reach).flatten(1)
            newest = look_back_near_fire(self.fusion, self.temporal, near, **parts)
        features, coarse = self.decoder(newest.unflatten(1, (rows, columns)), frame_layers)
        pixel_input = self._pixel_input(fire_pixels, wind[:, -1], terrain_pixels, categories)
        return self.refinement(
            coarse_features=features, coarse_logits=coarse, pixel_input=pixel_input, wind=wind[:, -1],
            resolution=resolution,
        )  # fmt: skip

    def _pixel_input(
        self,
        fire_pixels: Float[Tensor, "B 2 H W"],
        wind: Float[Tensor, "B 2"],
        terrain_pixels: Float[Tensor, "B K H W"],
        categories: Int[Tensor, "B Q H W"],
    ) -> Float[Tensor, "B P H W"]:
        """What is known of every pixel, with the channels innermost in memory, as the convolutions run fastest."""
        embedded = [table(categories[:, n]) for n, table in enumerate(self.category_embeddings)]
        everywhere = wind[:, None, None].expand(-1, *fire_pixels.shape[2:], -1)
        known = [fire_pixels.permute(0, 2, 3, 1), everywhere, terrain_pixels.permute(0, 2, 3, 1), *embedded]
        return torch.cat(known, -1).permute(0, 3, 1, 2)


CATEGORY_FEATURES = 6


def build_emberformer(
    *,
    features: int,
    channels: int,
    pixels: int,
    terrain_pixels: int,
    category_sizes: tuple[int, ...],
    settings,
    layers: int = 0,
) -> EmberFormer:
    """EmberFormer from sizes that come from the data and from `ModelSettings`.

    Args:
        features: length D of the cached tokens.
        channels: terrain images in the cache, C.
        pixels: raster pixels on a side of a patch.
        terrain_pixels: continuous full-resolution terrain channels, K.
        category_sizes: rows of each categorical band's table.
        settings: `ModelSettings`.
        layers: hidden layers in the cache, L.
    """
    tables = nn.ModuleList(nn.Embedding(size, CATEGORY_FEATURES) for size in category_sizes)
    decoder = build_decoder(settings, features, layers)
    inputs = FIRE_CHANNELS + 2 + terrain_pixels + CATEGORY_FEATURES * len(tables)
    return EmberFormer(
        bands=BandMix(channels, features),
        fusion=ConcatFusion(features, settings.d_model, settings.d_wind),
        temporal=TemporalTransformer(
            settings.d_model, settings.layers, settings.heads, settings.feedforward, settings.dropout
        ),
        decoder=decoder,
        refinement=Refinement(
            inputs,
            decoder.channels,
            settings.refinement_channels,
            settings.d_wind,
            pixels,
            decoder.finer,
            settings.norm,
            settings.travel_time,
        ),
        category_embeddings=tables,
        reach=settings.reach,
    )
