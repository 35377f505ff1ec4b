"""EmberFormer: composition of tokens, fusion, temporal part, decoder and refinement; no layer of its own."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn

from emberformer.errors import InputError
from emberformer.model.adjustment import past_steps
from emberformer.model.cross_patch import CrossPatch
from emberformer.model.decoders.build import build_decoder
from emberformer.model.decoders.decoder import SpatialDecoder
from emberformer.model.fusion import Fusion, Ground
from emberformer.model.history import look_back, look_back_near_fire, patches_near_fire
from emberformer.model.lead_time import LeadTime
from emberformer.model.parts import build_cross_patch, build_fusion, build_temporal, build_terrain
from emberformer.model.patch_tokens import BandMix, PatchLinear, PixelStem, frame_tokens
from emberformer.model.pixel_input import PixelInput
from emberformer.model.refinement import Refinement
from emberformer.model.temporal import PooledPast, Temporal, TemporalTransformer
from emberformer.model_settings import ModelSettings
from emberformer.network import SpreadNetwork


class EmberFormer(SpreadNetwork):
    """Probability (as a logit) that a pixel is burned at the next step, or some steps ahead.

    Args:
        fire: tokens of the frames from their pixels; None: cached ones are taken.
        terrain: tokens of the terrain, from cached ones of every band or from pixels; None: it is not fused.
        fusion: fire, terrain and wind to one token.
        temporal: tokens of the history to the newest one.
        cross_patch: attention between the newest tokens; None: there is none.
        decoder: token grid to coarse features and logits.
        refinement: coarse to full resolution.
        pixel_input: what the refinement, and a stem of the terrain, know of every pixel.
        reach: patches from the newest burned area within which a patch looks back along its history; None: all do.
        lead_time: code of the steps that are forecast, for the newest tokens; None: it is always one.
    """

    def __init__(
        self,
        *,
        fire: PixelStem | None,
        terrain: BandMix | PixelStem | PatchLinear | None,
        fusion: Fusion,
        temporal: Temporal,
        cross_patch: CrossPatch | None,
        decoder: SpatialDecoder,
        refinement: Refinement,
        pixel_input: PixelInput,
        reach: int | None = None,
        lead_time: LeadTime | None = None,
    ):
        super().__init__()
        self.fire, self.terrain, self.fusion = fire, terrain, fusion
        self.temporal, self.cross_patch = temporal, cross_patch
        self.decoder, self.refinement = decoder, refinement
        self.pixel_input, self.reach, self.lead_time = pixel_input, reach, lead_time
        own = ("frame_patches" if fire is None else "history_pixels",)
        own += ("terrain_patches",) if isinstance(terrain, BandMix) else ()
        own += ("frame_layers",) if decoder.takes_layers else ()
        own += ("resolution",) if refinement.travel_time is not None else ()
        own += ("lead",) if lead_time is not None else ()
        self.inputs = (*own, "wind", "valid_t", "fire_pixels", "terrain_pixels", "categories")

    def parts(self) -> dict[str, list[nn.Module]]:
        before = (self.fire, self.terrain, self.fusion, self.temporal, self.lead_time, self.cross_patch)
        return {
            "temporal": [part for part in before if part is not None],
            "decoder": [self.decoder, self.refinement, self.pixel_input],
        }

    def forward(
        self,
        *,
        wind: Float[Tensor, "B T 2"],
        valid_t: Bool[Tensor, "B T"],
        fire_pixels: Float[Tensor, "B 2 H W"],
        terrain_pixels: Float[Tensor, "B K H W"],
        categories: Int[Tensor, "B Q H W"],
        frame_patches: Float[Tensor, "B T Gy Gx D"] | None = None,
        terrain_patches: Float[Tensor, "B C Gy Gx D"] | None = None,
        frame_layers: Float[Tensor, "B L Gy Gx F"] | None = None,
        history_pixels: Real[Tensor, "B T H W"] | None = None,
        resolution: Float[Tensor, "B 2"] | None = None,
        lead: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B H W"]:
        """Logits of the burned area `lead` steps ahead, from the arrays of `inputs`.

        Args:
            wind: (u, v) in units of 10 m/s from each frame to the next, towards; at the newest frame, until `lead`.
            valid_t: false on padding; the newest frame is always real.
            fire_pixels: newest burned area and recency of the burn, on the raster.
            terrain_pixels: normalised terrain on the raster.
            categories: indices of categorical bands on the raster, 0 = unknown.
            frame_patches: cached tokens of the history, oldest first, zero where padded on the left; in the type that
                they are stored in, or any wider one.
            terrain_patches: cached tokens of the terrain bands, likewise; zero for a band that the landscape lacks.
            frame_layers: cached tokens of the newest frame after some blocks.
            history_pixels: burned masks of the history, oldest first.
            resolution: metres of a pixel and seconds of a step, for the travel time of fire; None: its reference.
            lead: steps that are forecast, from 1 on; None: one.
        """
        ground_pixels = self.pixel_input.ground(terrain_pixels, categories)
        fire, ground, moments = self._to_fuse(valid_t, ground_pixels, frame_patches, terrain_patches, history_pixels)
        history = {
            "fire": fire.flatten(2, 3).transpose(1, 2), "ground": ground,
            "wind": wind[:, -moments:], "valid_t": valid_t[:, -moments:],
        }  # fmt: skip
        if self.reach is None:
            newest = look_back(self.fusion, self.temporal, **history)
        else:
            near = patches_near_fire(fire_pixels[:, 0], self.refinement.pixels, self.reach).flatten(1)
            newest = look_back_near_fire(self.fusion, self.temporal, near, **history)
        newest = newest.unflatten(1, fire.shape[2:4])
        if self.lead_time is not None:
            assert lead is not None, "inputs name lead"
            newest = newest + self.lead_time(lead)[:, None, None].to(newest.dtype)
        if self.cross_patch is not None:
            newest = self.cross_patch(newest)
        features, coarse = self.decoder(newest, frame_layers)
        past = past_steps(fire_pixels, wind, valid_t) if self.refinement.adjusted else None
        if self.temporal.moments == 1:  # how long a pixel has burned is of the past, which this network is not told
            fire_pixels = fire_pixels[:, :1].expand_as(fire_pixels)
        return self.refinement(
            coarse_features=features,
            coarse_logits=coarse,
            pixel_input=self.pixel_input(fire_pixels, wind[:, -1], ground_pixels),
            wind=wind[:, -1],
            resolution=resolution,
            past=past,
            lead=lead,
        )

    @torch.no_grad()
    def attention_by_lag(self, inputs: dict[str, Tensor]) -> Float[Tensor, "K B Gy Gx h T"]:
        """How the newest moment of every patch weighs the moments of its history, in each block and head.

        The weights of a patch sum to 1 over time, are 0 on padding and beyond what the temporal part sees. They are
        those of a patch that looks back; with `reach`, patches far from the fire do not.

        Args:
            inputs: the arguments of `forward`; fire_pixels is not used.

        Raises:
            InputError: this network does not weigh its past.
        """
        if not isinstance(self.temporal, TemporalTransformer | PooledPast):
            expected = "transformer, local or pooled"
            raise InputError("model.temporal", "last_frame", expected, "ask a network that looks back")
        valid_t = inputs["valid_t"]
        ground_pixels = self.pixel_input.ground(inputs["terrain_pixels"], inputs["categories"])
        tokens = (inputs.get(name) for name in ("frame_patches", "terrain_patches", "history_pixels"))
        fire, ground, moments = self._to_fuse(valid_t, ground_pixels, *tokens)
        fused = self.fusion(fire.flatten(2, 3).transpose(1, 2), ground, inputs["wind"][:, -moments:])
        weights = self.temporal.attention_by_lag(fused, valid_t[:, -moments:])
        weights = nn.functional.pad(weights, (valid_t.shape[1] - weights.shape[-1], 0))
        grid = fire.shape[2:4]
        return weights.expand(-1, -1, grid[0] * grid[1], -1, -1).unflatten(2, grid)

    def _to_fuse(
        self,
        valid_t: Bool[Tensor, "B T"],
        ground_pixels: list[Float[Tensor, "B H W _"]],
        frame_patches: Float[Tensor, "B T Gy Gx D"] | None,
        terrain_patches: Float[Tensor, "B C Gy Gx D"] | None,
        history_pixels: Real[Tensor, "B T H W"] | None,
    ) -> tuple[Float[Tensor, "B t gy gx D"], Ground, int]:
        """Tokens of the frames that can matter, what the fusion knows of the ground, and how many frames these are."""
        moments = min(self.temporal.moments or valid_t.shape[1], valid_t.shape[1])
        if self.fire is not None:
            assert history_pixels is not None, "inputs name history_pixels"
            fire = frame_tokens(self.fire, history_pixels[:, -moments:], valid_t[:, -moments:])
        else:
            assert frame_patches is not None, "inputs name frame_patches"
            fire = frame_patches[:, -moments:]
        terrain = None
        if self.terrain is not None:
            cached = isinstance(self.terrain, BandMix)
            terrain = self.terrain(terrain_patches if cached else self.pixel_input.side_by_side(ground_pixels))
        return fire, self.fusion.ground(terrain, (fire.shape[2], fire.shape[3])), moments


def build_emberformer(
    *,
    features: int,
    channels: int,
    pixels: int,
    terrain_pixels: int,
    category_sizes: tuple[int, ...],
    settings: ModelSettings,
    layers: int = 0,
    layer_features: int | None = None,
    decoder_config: str | None = None,
) -> EmberFormer:
    """EmberFormer from sizes that come from the data and from `ModelSettings`.

    Args:
        features: length D of the cached tokens, and of a stem's.
        channels: terrain images in the cache, C.
        pixels: raster pixels on a side of a cached patch.
        terrain_pixels: continuous full-resolution terrain channels, K.
        category_sizes: rows of each categorical band's table.
        settings: `ModelSettings`.
        layers: hidden layers in the cache, L.
        layer_features: length of their tokens, where the cached tokens' length is another.
        decoder_config: `architecture` of the weights that the decoder begins from.
    """
    side = settings.token_size or pixels
    pixel_input = PixelInput(terrain_pixels, category_sizes)
    decoder = build_decoder(settings, layer_features or features, layers, decoder_config)
    return EmberFormer(
        fire=PixelStem(1, features, side) if settings.fire == "stem" else None,
        terrain=build_terrain(settings, features, channels, pixel_input.ground_channels, side),
        fusion=build_fusion(settings, features),
        temporal=build_temporal(settings),
        cross_patch=build_cross_patch(settings),
        decoder=decoder,
        refinement=Refinement(
            pixel_input.channels,
            decoder.channels,
            settings.refinement_channels,
            settings.d_wind,
            side,
            decoder.finer,
            settings.norm,
            settings.travel_time,
            settings.adjusts_rates,
            settings.lead_times,
        ),
        pixel_input=pixel_input,
        reach=settings.reach,
        lead_time=LeadTime(settings.lead_times, settings.d_model) if settings.lead_times > 1 else None,
    )
