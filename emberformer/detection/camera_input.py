"""Camera images as the backbone sees them: in their colours, whatever the images of terrain are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from emberformer.detection.pixel_views import Picture
from emberformer.feature_settings import FeatureSettings


def in_colour(features: FeatureSettings) -> FeatureSettings:
    """Settings of the same backbone for images of three channels."""
    return features.model_copy(update={"channel_map": "triplets"})


def pixels_of(pictures: Sequence[Picture]) -> UInt8[Tensor, "n side side 3"]:
    """Pixels of some pictures of one size."""
    return torch.from_numpy(np.stack([picture.pixels for picture in pictures]))


def as_images(pixels: UInt8[Tensor, "n side side 3"]) -> Float[Tensor, "n 3 side side"]:
    """Images in [0, 1], as `dino_input` takes them."""
    return pixels.permute(0, 3, 1, 2).float() / 255
