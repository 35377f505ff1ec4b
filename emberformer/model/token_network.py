"""The token network: patches without a backbone, each as occupancy, terrain means and wind.

A forecast of each patch's mean is had by the nearest upsampling, whose pixels share their patch's logit: the
cross-entropy over the pixels of a patch is least where their probability is the share of them that burns.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.adjustment import past_steps
from emberformer.model.cross_patch import CrossPatch
from emberformer.model.decoders.build import build_decoder
from emberformer.model.decoders.decoder import SpatialDecoder
from emberformer.model.fusion import AddNormFusion
from emberformer.model.history import look_back
from emberformer.model.parts import build_cross_patch, build_temporal
from emberformer.model.pixel_input import PixelInput
from emberformer.model.refinement import Refinement
from emberformer.model.temporal import Temporal
from emberformer.model_settings import ModelSettings
from emberformer.network import SpreadNetwork


class NearestUpsampling(nn.Module):
    """All pixels of a patch, or of a decoder's finer cell, get its logit.

    Args:
        pixels: raster pixels on a side of a patch.
        finer: cells of the coarse logits on a side of a patch.
    """

    def __init__(self, pixels: int, finer: int = 1):
        super().__init__()
        self.pixels, self.finer = pixels, finer

    def forward(self, coarse_logits: Float[Tensor, "B 1 h w"], size: tuple[int, int]) -> Float[Tensor, "B H W"]:
        """Logits of a raster of `size`, which lies at the upper left of the patches."""
        whole = [side // self.finer * self.pixels for side in coarse_logits.shape[2:]]
        return functional.interpolate(coarse_logits, whole, mode="nearest-exact")[:, 0, : size[0], : size[1]]


class TokenNetwork(SpreadNetwork):
    """Probability (as a logit) that a pixel is burned at the next step, from a few numbers a patch and frame.

    A token is LN(W_f o + W_s s + W_w (u, v) + b) of the patch's occupancy o, its terrain means s and the wind
    (`AddNormFusion`), to which the temporal part adds the code of its lag.

    Args:
        fusion: occupancy, terrain means and wind to one token.
        temporal: tokens of the history to the newest one.
        cross_patch: attention between the newest tokens; None: there is none.
        decoder: token grid to coarse features and logits.
        upsampling: coarse to full resolution; the nearest one sees nothing but the coarse logits.
        pixel_input: what the refinement knows of every pixel; None without refinement.
    """

    def __init__(
        self,
        *,
        fusion: AddNormFusion,
        temporal: Temporal,
        cross_patch: CrossPatch | None,
        decoder: SpatialDecoder,
        upsampling: Refinement | NearestUpsampling,
        pixel_input: PixelInput | None,
    ):
        super().__init__()
        self.fusion, self.temporal, self.cross_patch = fusion, temporal, cross_patch
        self.decoder, self.upsampling, self.pixel_input = decoder, upsampling, pixel_input
        rasters = () if pixel_input is None else ("terrain_pixels", "categories", "resolution")
        self.inputs = ("occupancy", "terrain_means", "wind", "valid_t", "fire_pixels", *rasters)

    def parts(self) -> dict[str, list[nn.Module]]:
        parts = {
            "temporal": (self.fusion, self.temporal, self.cross_patch),
            "decoder": (self.decoder, self.upsampling, self.pixel_input),
        }
        return {name: [part for part in own if part is not None] for name, own in parts.items()}

    def forward(
        self,
        *,
        occupancy: Float[Tensor, "B T Gy Gx"],
        terrain_means: Float[Tensor, "B C Gy Gx"],
        wind: Float[Tensor, "B T 2"],
        valid_t: Bool[Tensor, "B T"],
        fire_pixels: Float[Tensor, "B 2 H W"],
        terrain_pixels: Float[Tensor, "B K H W"] | None = None,
        categories: Int[Tensor, "B Q H W"] | None = None,
        resolution: Float[Tensor, "B 2"] | None = None,
    ) -> Float[Tensor, "B H W"]:
        """Logits of the next burned area, from the arrays of `inputs`.

        Args:
            occupancy: share of each patch that burns, oldest first; whatever stands on padding.
            terrain_means: normalised means of each patch.
            wind: (u, v) in units of 10 m/s from each frame to the next, towards.
            valid_t: false on padding; the newest frame is always real.
            fire_pixels: newest burned area and recency of the burn, on the raster.
            terrain_pixels: normalised terrain on the raster, for the refinement.
            categories: indices of categorical bands on the raster, for the refinement.
            resolution: metres of a pixel and seconds of a step, for the refinement.
        """
        moments = min(self.temporal.moments or valid_t.shape[1], valid_t.shape[1])
        grid = (occupancy.shape[2], occupancy.shape[3])
        newest = look_back(
            self.fusion,
            self.temporal,
            fire=occupancy[:, -moments:].flatten(2).transpose(1, 2)[..., None],
            ground=self.fusion.ground(terrain_means.permute(0, 2, 3, 1), grid),
            wind=wind[:, -moments:],
            valid_t=valid_t[:, -moments:],
        ).unflatten(1, grid)
        if self.cross_patch is not None:
            newest = self.cross_patch(newest)
        features, coarse = self.decoder(newest)
        if isinstance(self.upsampling, NearestUpsampling):
            return self.upsampling(coarse, (fire_pixels.shape[2], fire_pixels.shape[3]))
        past = past_steps(fire_pixels, wind, valid_t) if self.upsampling.adjusted else None
        if self.temporal.moments == 1:  # how long a pixel has burned is of the past, which this network is not told
            fire_pixels = fire_pixels[:, :1].expand_as(fire_pixels)
        assert self.pixel_input is not None, "the refinement sees the raster"
        assert terrain_pixels is not None, "inputs name terrain_pixels"
        assert categories is not None, "inputs name categories"
        ground_pixels = self.pixel_input.ground(terrain_pixels, categories)
        return self.upsampling(
            coarse_features=features,
            coarse_logits=coarse,
            pixel_input=self.pixel_input(fire_pixels, wind[:, -1], ground_pixels),
            wind=wind[:, -1],
            resolution=resolution,
            past=past,
        )


def build_token_network(*, means: int, pixels: int, pixel_input: PixelInput, settings: ModelSettings) -> TokenNetwork:
    """Token network from sizes that come from the data and from the settings.

    Args:
        means: terrain means of a patch, C.
        pixels: raster pixels on a side of a patch.
        pixel_input: what is known of every pixel; the nearest upsampling leaves it out.
        settings: sizes of the layers.

    Raises:
        InputError: a decoder that takes hidden layers of a backbone, which this network does without.
    """
    of = settings
    decoder = build_decoder(of, features=of.d_model, layers=0)
    refined = of.upsampling == "refinement"
    upsampling = NearestUpsampling(pixels, decoder.finer)
    if refined:
        sizes = (pixel_input.channels, decoder.channels, of.refinement_channels, of.d_wind, pixels, decoder.finer)
        upsampling = Refinement(*sizes, of.norm, of.travel_time, of.adjusts_rates)
    return TokenNetwork(
        fusion=AddNormFusion(1, means, of.d_model),
        temporal=build_temporal(of),
        cross_patch=build_cross_patch(of),
        decoder=decoder,
        upsampling=upsampling,
        pixel_input=pixel_input if refined else None,
    )
