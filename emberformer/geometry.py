"""Geometry of a fire front on the pixel grid: nearest burned pixel, surroundings, shares of a neighbourhood."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt, uniform_filter

HECTARE = 1e4  # m2


class Nearest(NamedTuple):
    """The nearest pixel of a region, seen from every pixel.

    `distance` is Euclidean, between pixel centres, in pixels: 0 inside the region, infinite if the region is empty.
    `row` and `column` are the indices of that pixel; they mean nothing where the distance is infinite.
    """

    distance: Float[np.ndarray, "y x"]
    row: Int[np.ndarray, "y x"]
    column: Int[np.ndarray, "y x"]


def nearest_pixel(region: Bool[np.ndarray, "y x"]) -> Nearest:
    """The nearest pixel of `region` from every pixel; exact Euclidean distance transform.

    Reference: Maurer, Qi and Raghavan (2003), doi:10.1109/TPAMI.2003.1177156 (the algorithm of `scipy.ndimage`).
    """
    if not region.any():
        nowhere = np.zeros(region.shape, np.int32)
        return Nearest(np.full(region.shape, np.inf), nowhere, nowhere)
    distance, (row, column) = cast(tuple, distance_transform_edt(~region, return_indices=True))
    return Nearest(distance, row, column)


def distance_to(region: Bool[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """Euclidean distance in pixels to the nearest pixel of `region`; 0 inside, infinite if it is empty.

    >>> distance_to(np.array([[True, False, False]]))
    array([[0., 1., 2.]])
    """
    return np.asarray(distance_transform_edt(~region)) if region.any() else np.full(region.shape, np.inf)


def surroundings(region: Bool[np.ndarray, "y x"], margin: int) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle that holds `region` and `margin` pixels around it, within the raster.

    Both are empty if the region is.

    >>> surroundings(np.eye(9, dtype=bool)[4:5], 2)
    (slice(0, 1, None), slice(2, 7, None))
    """
    return _span(np.flatnonzero(region.any(axis=1)), margin, region.shape[0]), _span(
        np.flatnonzero(region.any(axis=0)), margin, region.shape[1]
    )


def share_nearby(region: Bool[np.ndarray, "y x"], side: int) -> Float[np.ndarray, "y x"]:
    """Share of `region` in the square of `side` pixels (odd) around each pixel; none of it lies outside."""
    return uniform_filter(region.astype(np.float32), side, mode="constant")


def _span(lines: Int[np.ndarray, " hit"], margin: int, length: int) -> slice:
    if not lines.size:
        return slice(0, 0)
    return slice(max(int(lines[0]) - margin, 0), min(int(lines[-1]) + margin + 1, length))
