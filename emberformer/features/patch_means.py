"""What is known of a patch without a backbone: the share of it that burns, and the means of its terrain.

They cost a thousandth of a token, and all that the token network sees. A patch that lies partly outside the raster
counts the pixels inside alone.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Num, UInt8

from emberformer.features.rendering import patch_grid


def burned_share(burned: UInt8[np.ndarray, "F H W"], pixels: int) -> Float32[np.ndarray, "F Gy Gx"]:
    """Share of each patch's pixels on the raster that are burned; unknown ones (255) count as not burned.

    So they do in the network's full-resolution input.

    >>> burned_share(np.array([[[1, 255, 1], [0, 0, 1]]], np.uint8), 2).tolist()
    [[[0.25, 1.0]]]
    """
    return (_sums(burned == 1, pixels) / _sums(np.ones_like(burned[:1]), pixels)).astype(np.float32)


def mean_channels(channels: list[str]) -> list[str]:
    """Names of what `terrain_means` gives, from those of `terrain_channels`."""
    return ["known", *channels]


def terrain_means(terrain: Float[np.ndarray, "C H W"], kind: list[str], pixels: int) -> Float32[np.ndarray, "K Gy Gx"]:
    """What is known of each patch and band, in the order of `mean_channels`.

    Nothing here is normalised, so that no other fire has a part in it.

    Args:
        terrain: bands of one window in the fires store's units, NaN = no data.
        kind: of every band.
        pixels: raster pixels on a side of a patch.

    Returns:
        First the share that is known of the patch's pixels on the raster, over all bands. Then over the known pixels
        of each band the mean of a continuous one, mean sine and mean cosine of an angle, the share of ones of a binary
        one, and the most frequent code of a categorical one (the least of equally frequent ones); NaN where the patch
        has no known pixel.
    """
    real = _sums(np.ones_like(terrain[:1]), pixels)[0]
    means, shares = [], []
    for values, of_kind in zip(terrain, kind, strict=True):
        known = np.isfinite(values)
        count = _sums(known[None], pixels)[0]
        if of_kind == "categorical":
            found = [_modes(values, known, pixels)]
        else:
            angle = np.deg2rad(values)
            parts = [np.sin(angle), np.cos(angle)] if of_kind == "angle" else [values]
            found = [_sums(np.where(known, part, 0)[None], pixels)[0] / np.maximum(count, 1) for part in parts]
        means += [np.where(count > 0, part, np.nan) for part in found]
        shares.append(count / real)
    return np.stack([np.mean(shares, 0), *means]).astype(np.float32)


def _sums(values: Num[np.ndarray, "F H W"] | Bool[np.ndarray, "F H W"], pixels: int) -> Float[np.ndarray, "F Gy Gx"]:
    """Sums over patches; exact for whole numbers."""
    rows, columns = (_membership(side, pixels) for side in values.shape[1:])
    return rows.T @ (values.astype(rows.dtype) @ columns)


def _membership(length: int, pixels: int) -> Float64[np.ndarray, "n g"]:
    """1 where a row (or column) of the raster belongs to a row (or column) of patches."""
    return np.equal.outer(np.arange(length) // pixels, np.arange(-(-length // pixels))).astype(np.float64)


def _modes(values: Float[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"], pixels: int) -> Float[np.ndarray, "Gy Gx"]:
    """Most frequent known value of each patch."""
    grid = patch_grid(values.shape[0], values.shape[1], pixels)
    codes, place = np.unique(values[known], return_inverse=True)
    if not len(codes):
        return np.full(grid, np.nan)
    rows, columns = np.nonzero(known)
    patch: Int[np.ndarray, " n"] = rows // pixels * grid[1] + columns // pixels
    counts = np.bincount(patch * len(codes) + place, minlength=grid[0] * grid[1] * len(codes))
    counts = counts.reshape(*grid, len(codes))
    return codes[counts.argmax(-1)]
