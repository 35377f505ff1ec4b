"""The token network: patches without a backbone, each as occupancy, terrain means and wind.

A forecast of each patch's mean is had by the nearest upsampling, whose pixels share their patch's logit: the
cross-entropy over the pixels of a patch is least where their probability is the share of them that burns.
"""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.decoders.build import build_decoder
from emberformer.model.decoders.decoder import SpatialDecoder
from emberformer.model.pixel_input import PixelInput
from emberformer.model.refinement import Refinement
from emberformer.model.temporal import TemporalTransformer
from emberformer.model_settings import ModelSettings
from emberformer.network import SpreadNetwork


class TokenSum(nn.Module):
    """LN(W_f o + W_s s + W_w (u, v) + b): occupancy o, terrain means s and wind of one patch and one moment.

    The lag's code is added where the tokens look back (`TemporalTransformer`).

    Args:
        terrain: means of a patch, Cs.
        d_model: length of a token.
    """

    def __init__(self, terrain: int, d_model: int):
        super().__init__()
        self.from_fire = nn.Linear(1, d_model)
        self.from_terrain = nn.Linear(terrain, d_model, bias=False)
        self.from_wind = nn.Linear(2, d_model, bias=False)
        self.norm = nn.LayerNorm(d_model)

    def forward(
        self, fire: Float[Tensor, "B N T 1"], terrain: Float[Tensor, "B N C"], wind: Float[Tensor, "B T 2"]
    ) -> Float[Tensor, "B N T M"]:
        """Tokens of N patches at T moments."""
        token = self.from_fire(fire) + self.from_terrain(terrain)[:, :, None] + self.from_wind(wind)[:, None]
        return self.norm(token)


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

    Args:
        fusion: occupancy, terrain means and wind to one token.
        temporal: tokens of the history to the newest one.
        decoder: token grid to coarse features and logits.
        upsampling: coarse to full resolution; the nearest one sees nothing but the coarse logits.
        raster: what is known of every pixel, for the refinement; else None.
        newest_only: the network does without the past.
    """

    def __init__(
        self,
        fusion: TokenSum,
        temporal: TemporalTransformer,
        decoder: SpatialDecoder,
        upsampling: Refinement | NearestUpsampling,
        raster: PixelInput | None,
        newest_only: bool = False,
    ):
        super().__init__()
        self.fusion, self.temporal, self.decoder, self.upsampling = fusion, temporal, decoder, upsampling
        self.raster, self.newest_only = raster, newest_only
        rasters = () if raster is None else ("terrain_pixels", "categories", "resolution")
        self.inputs = ("occupancy", "terrain_means", "wind", "valid_t", "fire_pixels", *rasters)

    def parts(self) -> dict[str, list[nn.Module]]:
        decoding = [self.decoder, self.upsampling, *([] if self.raster is None else [self.raster])]
        return {"temporal": [self.fusion, self.temporal], "decoder": decoding}

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
        """Logits of the next burned area.

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
        first = -1 if self.newest_only else 0
        fire = occupancy[:, first:].flatten(2).transpose(1, 2)[..., None]
        tokens = self.fusion(fire, terrain_means.flatten(2).transpose(1, 2), wind[:, first:])
        newest = self.temporal(tokens, valid_t[:, first:])
        features, coarse = self.decoder(newest.unflatten(1, occupancy.shape[2:]))
        if isinstance(self.upsampling, NearestUpsampling):
            return self.upsampling(coarse, (fire_pixels.shape[2], fire_pixels.shape[3]))
        assert self.raster is not None, "the refinement sees the raster"
        assert terrain_pixels is not None, "the refinement sees the raster"
        assert categories is not None, "the refinement sees the raster"
        pixels = self.raster(fire_pixels, wind[:, -1], self.raster.ground(terrain_pixels, categories))
        return self.upsampling(
            coarse_features=features, coarse_logits=coarse, pixel_input=pixels, wind=wind[:, -1], resolution=resolution
        )


def build_token_network(*, means: int, pixels: int, raster: PixelInput, settings: ModelSettings) -> TokenNetwork:
    """Token network from sizes that come from the data and from the settings.

    Args:
        means: terrain means of a patch, C.
        pixels: raster pixels on a side of a patch.
        raster: what is known of every pixel; the nearest upsampling leaves it out.
        settings: sizes of the layers.

    Raises:
        InputError: a decoder that takes hidden layers of a backbone, which this network does without.
    """
    of = settings
    decoder = build_decoder(of, features=of.d_model, layers=0)
    refined = of.upsampling == "refinement"
    upsampling = NearestUpsampling(pixels, decoder.finer)
    if refined:
        sizes = (raster.channels, decoder.channels, of.refinement_channels, of.d_wind, pixels, decoder.finer)
        upsampling = Refinement(*sizes, of.norm, of.travel_time)
    return TokenNetwork(
        fusion=TokenSum(means, of.d_model),
        temporal=TemporalTransformer(of.d_model, of.layers, of.heads, of.feedforward, of.dropout),
        decoder=decoder,
        upsampling=upsampling,
        raster=raster if refined else None,
        newest_only=of.temporal == "last_frame",
    )
