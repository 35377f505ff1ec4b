"""The decoder that settings name."""

from __future__ import annotations

from emberformer.errors import InputError
from emberformer.model.decoders.decoder import SpatialDecoder
from emberformer.model.decoders.fpn import FeaturePyramidDecoder
from emberformer.model.decoders.minimal import MinimalDecoder
from emberformer.model.decoders.unet import UNetDecoder
from emberformer.model_settings import ModelSettings


def build_decoder(settings: ModelSettings, features: int, layers: int, config: str | None = None) -> SpatialDecoder:
    """The decoder, untrained; parts of transformers are imported only where they are used, because it takes seconds.

    Args:
        settings: which one, and how wide.
        features: length of the cached tokens.
        layers: hidden layers in the cache.
        config: `architecture` of `decoder_weights`, or None.

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
    if settings.decoder == "segformer":
        from emberformer.model.decoders.segformer import SegformerDecoder

        return SegformerDecoder(settings.d_model, settings.norm, config)
    if settings.decoder == "resnet_unet":
        from emberformer.model.decoders.resnet_unet import ResNetUNetDecoder

        return ResNetUNetDecoder(settings.d_model, settings.decoder_channels, settings.norm, config)
    if settings.decoder == "sam":
        from emberformer.model.decoders.sam import SamDecoder

        return SamDecoder(settings.d_model, config)
    return MinimalDecoder(settings.d_model, settings.decoder_channels, settings.norm)
