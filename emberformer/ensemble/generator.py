"""The generator: what of a batch conditions a future, as `NanoDiT` takes it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emberformer.ensemble.arrival_field import level_shares
from emberformer.ensemble.conditioning import Conditioning
from emberformer.ensemble.context import CONTEXT_FEATURES, context_tokens
from emberformer.ensemble.nano_dit import NanoDiT
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.model.patch_tokens import BandMix
from emberformer.model.pixel_input import FIRE_CHANNELS, PixelInput

INPUTS = (
    "frame_patches", "terrain_patches", "frame_cls", "patch_valid", "wind", "coming_wind", "valid_t", "fire_pixels",
    "terrain_pixels", "categories", "resolution",
)  # fmt: skip
LOGIT_LIMIT = 8.0  # logits beyond which a deterministic forecast tells no more


class Generator(nn.Module):
    """Futures of fires from the arrays of `emberformer.dataset.FireSteps`.

    Args:
        network: the diffusion transformer.
        pixel_input: codes of the categories.
        band_mix: terrain images to one; None where the patches are not used.
        mask_channel: whether the newest burned area is told to every pixel.
        text: whether a text is told.
    """

    def __init__(
        self, *, network: NanoDiT, pixel_input: PixelInput, band_mix: BandMix | None, mask_channel: bool, text: bool
    ):
        super().__init__()
        self.network, self.pixel_input, self.band_mix = network, pixel_input, band_mix
        self.mask_channel = mask_channel
        left_out = () if band_mix is not None else ("frame_patches", "terrain_patches", "patch_valid")
        self.inputs = tuple(name for name in INPUTS if name not in left_out)
        if text:
            self.inputs += ("text", "text_mask")

    def conditioning(self, batch: dict[str, Tensor], prior: Float[Tensor, "B K H W"] | None = None) -> Conditioning:
        """Conditions of a batch.

        Args:
            batch: arrays of `inputs`; with `origin [B 2]`, row and column of the window's corner in patches.
            prior: probability of the deterministic network that a pixel is burned after each coming step.
        """
        pixels = self.pixel_input.ground(batch["terrain_pixels"].float(), batch["categories"])
        if self.mask_channel:
            pixels.append(batch["fire_pixels"].permute(0, 2, 3, 1))
        mean = shares = None
        if prior is not None:
            shares = level_shares(prior)
            mean = 2 * (1 - prior).mean(1, keepdim=True) - 1
            logit = torch.logit(prior, 1e-6).clamp(-LOGIT_LIMIT, LOGIT_LIMIT) / LOGIT_LIMIT
            pixels.append(logit.permute(0, 2, 3, 1))
        told = (batch[name] for name in ("wind", "coming_wind", "valid_t", "fire_pixels", "resolution"))
        context, context_mask = context_tokens(*told)
        patches, valid, grid = None, None, self._grid(batch)
        if self.band_mix is not None:
            terrain = self.band_mix(batch["terrain_patches"].float())
            patches = torch.cat([batch["frame_patches"][:, -1].float(), terrain], -1).flatten(1, 2)
            valid = batch["patch_valid"].flatten(1)
        return Conditioning(
            context, context_mask, batch["frame_cls"].float(), patches, valid, grid,
            self.pixel_input.side_by_side(pixels), mean, shares,
            batch.get("text"), batch.get("text_mask"), batch.get("origin"),
        )  # fmt: skip

    def _grid(self, batch: dict[str, Tensor]) -> tuple[int, int]:
        pixels = self.network.side * self.network.finer
        height, width = batch["fire_pixels"].shape[2:]
        return height // pixels, width // pixels


def build_generator(
    settings: EnsembleSettings,
    *,
    features: int,
    cls_features: int | None = None,
    terrain_channels: int,
    patch_pixels: int,
    raster_channels: int,
    category_sizes: tuple[int, ...],
    text_features: int | None = None,
) -> Generator:
    """The untrained generator.

    Args:
        settings: of the ensemble.
        features: length of a cached token of a patch.
        cls_features: length of a frame's CLS token, which is stored whole; None: as long as a patch's.
        terrain_channels: images of the terrain.
        patch_pixels: raster pixels on a side of a patch.
        raster_channels: continuous channels of the rasters.
        category_sizes: rows of each categorical band's table.
        text_features: length of a text's embeddings; None: no text.

    Raises:
        ValueError: a token's side does not divide a patch.
    """
    pixel_input = PixelInput(raster_channels, category_sizes)
    told = FIRE_CHANNELS * settings.mask_channel + settings.leads * settings.prior
    network = NanoDiT(
        pixel_channels=pixel_input.ground_channels + told,
        context_features=CONTEXT_FEATURES,
        cls_features=cls_features or features,
        patch_features=2 * features if settings.patches else None,
        text_features=text_features,
        side=settings.side,
        patch_pixels=patch_pixels,
        d_model=settings.d_model,
        depth=settings.depth,
        heads=settings.heads,
        adaln=settings.adaln,
        inject=settings.inject,
        patch_bias=settings.patch_bias,
        predicts=settings.predicts,
        leads=settings.leads,
        refinement_channels=settings.refinement_channels,
        aligned_features=features if settings.alignment else None,
    )
    mix = BandMix(terrain_channels, features) if settings.patches else None
    return Generator(
        network=network,
        pixel_input=pixel_input,
        band_mix=mix,
        mask_channel=settings.mask_channel,
        text=text_features is not None,
    )
