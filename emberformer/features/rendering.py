"""Rendering: from burned masks and terrain bands to the images that DINOv2 sees; fixed, nothing in it is fitted.

A change here changes the features: raise `STORE_SCHEMA` in `emberformer.layout` with it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from emberformer.errors import InputError

GOLDEN_RATIO = 0.6180339887498949


def pixels_per_patch(patch_size: int, scale: float) -> int:
    """Raster pixels on a side of one patch: patch_size / scale.

    >>> pixels_per_patch(14, 0.5)
    28

    Raises:
        InputError: the ratio is no whole number, so that patches and pixels cannot be aligned.
    """
    pixels = patch_size / scale
    if abs(pixels - round(pixels)) > 1e-9:
        raise InputError(
            "features.scale", f"{scale}, so that a patch is {pixels:.3f} pixels",
            f"a scale that divides the patch size {patch_size} into whole pixels", f"use 1, 2, 0.5 or {patch_size}/n",
        )  # fmt: skip
    return round(pixels)


def patch_grid(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Patches along y and x of a raster padded at the bottom and right: (ceil(H / p), ceil(W / p)).

    >>> patch_grid(400, 400, 14)
    (29, 29)
    """
    return -(-height // pixels), -(-width // pixels)


def valid_share(height: int, width: int, pixels: int) -> Float[np.ndarray, "Gy Gx"]:
    """Share of each patch that is raster and not padding, in (0, 1]."""
    rows, columns = patch_grid(height, width, pixels)
    inside = np.zeros((rows * pixels, columns * pixels), np.float32)
    inside[:height, :width] = 1
    return inside.reshape(rows, pixels, columns, pixels).mean((1, 3))


def render_frame(burned: UInt8[np.ndarray, "F H W"]) -> Float[np.ndarray, "F H W"]:
    """Grey images of burned masks: 1 burned, 0 not burned, 0.5 unknown (255)."""
    return np.where(burned == 255, np.float32(0.5), (burned == 1).astype(np.float32))


def terrain_channels(band: list[str], kind: list[str]) -> list[str]:
    """Names of the images that the bands are rendered to; an angle gives two (sine and cosine).

    >>> terrain_channels(["elevation", "aspect_deg"], ["continuous", "angle"])
    ['elevation', 'aspect_deg.sin', 'aspect_deg.cos']
    """
    return [
        channel
        for name, k in zip(band, kind, strict=True)
        for channel in ([f"{name}.sin", f"{name}.cos"] if k == "angle" else [name])
    ]


def render_terrain(terrain: Float[np.ndarray, "C H W"], kind: list[str]) -> Float[np.ndarray, "K H W"]:
    """Grey images in [0, 1] of the bands of one terrain window; no data is 0.

    Every rule needs the window alone, so that another fire in the data set changes nothing here:
    continuous bands are stretched from the window's own least to its greatest value (absolute values reach the
    model at full resolution), categories get the fixed pseudo-random grey frac(code x golden ratio), which gives
    codes no order, and angles their sine and cosine.
    """
    images = []
    for values, k in zip(terrain, kind, strict=True):
        known = np.isfinite(values)
        if k == "continuous":
            low, high = (values[known].min(), values[known].max()) if known.any() else (0.0, 0.0)
            grey = (values - low) / max(high - low, 1e-6)
        elif k == "categorical":
            grey = 0.1 + 0.9 * np.mod(values * GOLDEN_RATIO, 1.0)
        elif k == "binary":
            grey = values
        else:
            angle = np.deg2rad(values)
            images.append(np.where(known, (np.sin(angle) + 1) / 2, 0))
            grey = (np.cos(angle) + 1) / 2
        images.append(np.where(known, grey, 0))
    return np.stack(images).astype(np.float32)


def dino_input(images: Float[Tensor, "B *c H W"], patch_size: int, scale: float) -> Float[Tensor, "B c h w"]:
    """Images as `Backbone.encode` takes them: padded to whole patches, then scaled; in [0, 1], grey without `c`.

    Padding lies at the bottom and right and is 0, so pixel (y, x) keeps its place; `h = Gy patch_size`. ImageNet's
    normalisation is part of the backbone's patch embedding (`emberformer.features.patch_embedding`).
    """
    pixels = pixels_per_patch(patch_size, scale)
    height, width = images.shape[-2:]
    rows, columns = patch_grid(height, width, pixels)
    image = images[:, None] if images.ndim == 3 else images
    image = functional.pad(image, (0, columns * pixels - width, 0, rows * pixels - height))
    if scale != 1:
        size = (rows * patch_size, columns * patch_size)
        image = functional.interpolate(image, size, mode="bilinear", antialias=scale < 1, align_corners=False)
    return image
