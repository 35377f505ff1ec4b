"""Spatial decoders: from a grid of tokens to a coarse forecast, one a file.

Those with a part of transformers' are imported where they are built (`emberformer.model.decoders.build`).
"""

from emberformer.model.convolution import Convolution
from emberformer.model.decoders.decoder import SpatialDecoder
from emberformer.model.decoders.fpn import FeaturePyramidDecoder
from emberformer.model.decoders.minimal import MinimalDecoder
from emberformer.model.decoders.unet import UNetDecoder

__all__ = ["Convolution", "FeaturePyramidDecoder", "MinimalDecoder", "SpatialDecoder", "UNetDecoder"]
