"""The decoder that settings name."""

from __future__ import annotations

from emberformer.errors import InputError
from emberformer.model.decoders.decoder import SpatialDecoder
from emberformer.model.decoders.fpn import FeaturePyramidDecoder
from emberformer.model.decoders.minimal import MinimalDecoder
from emberformer.model.decoders.unet import UNetDecoder
from emberformer.model_settings import ModelSettings


def build_decoder(settings: ModelSettings, features: int, layers: int) -> SpatialDecoder:
    """The decoder, untrained.

    Args:
        settings: which one, and how wide.
        features: length of the cached tokens.
        layers: hidden layers in the cache.

    Raises:
        InputError: the decoder takes hidden layers, and there are none.
    """
    if settings.decoder == "unet":
        return UNetDecoder(settings.d_model, settings.decoder_channels, settings.norm)
    if settings.decoder == "fpn":
        if not layers:
            raise InputError(
                "model.decoder: fpn", "no hidden layers", "tokens after some of the backbone's blocks",
                "name the blocks in `features.layers`, such as [3, 6, 9, 12], and extract again",
            )  # fmt: skip
        return FeaturePyramidDecoder(settings.d_model, features, layers, settings.decoder_channels, settings.norm)
    return MinimalDecoder(settings.d_model, settings.decoder_channels, settings.norm)
