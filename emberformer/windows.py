"""Windows: which part of a raster is served, on whole patches, and how it is mirrored and turned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emberformer.views import turned, turned_vector


def choose_window(
    burned: np.ndarray,
    growth: np.ndarray,
    size: tuple[int, int],
    grid: tuple[int, int],
    pixels: int,
    rng: np.random.Generator,
) -> tuple[slice, slice]:
    """Patch rows and columns to serve: all, or a random window that holds a random pixel of an area of interest.

    Args:
        burned: newest frame, 1 = burned.
        growth: what is to burn, or another area of interest; where there is nothing, a burned pixel serves.
        size: rows and columns to serve.
        grid: all rows and columns.
        pixels: raster pixels on a side of a patch.
        rng: chance.
    """
    if size == grid:
        return slice(0, size[0]), slice(0, size[1])
    candidates = np.argwhere(growth) if growth.any() else np.argwhere(burned == 1)
    centre = candidates[int(rng.integers(len(candidates)))] if len(candidates) else np.array(burned.shape) // 2
    windows = []
    for position, side, whole in zip(centre // pixels, size, grid, strict=True):
        low, high = max(0, int(position) - side + 1), min(int(position), whole - side)
        start = low + int(rng.integers(max(high - low, 0) + 1))
        windows.append(slice(start, start + side))
    return windows[0], windows[1]


def perimeter(burned: np.ndarray) -> np.ndarray:
    """Burned pixels with a neighbour that is not, those at the raster's edge left out.

    >>> perimeter(np.array([[1, 1, 1, 0]] * 3)).astype(int).tolist()
    [[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    """
    lit = np.pad(burned == 1, 1, mode="edge")
    inside = lit[:-2, 1:-1] & lit[2:, 1:-1] & lit[1:-1, :-2] & lit[1:-1, 2:]
    return (burned == 1) & ~inside


def pixel_slices(patches: slice, pixels: int) -> slice:
    """Pixels of some patches."""
    return slice(patches.start * pixels, patches.stop * pixels)


def padded(values: np.ndarray, shape: tuple[int, int], fill: int) -> np.ndarray:
    """Raster at the upper left of whole patches."""
    missing = [(0, 0)] * (values.ndim - 2) + [(0, shape[n] - values.shape[values.ndim - 2 + n]) for n in range(2)]
    return np.pad(values, missing, constant_values=fill) if any(m[1] for m in missing) else values


def turn(arrays: dict[str, np.ndarray], view: int, vectors: Sequence[tuple[int, int]]) -> dict[str, np.ndarray]:
    """One of the eight mirrored and turned views of an item's rasters; vectors (wind, slope direction) turn with them.

    Args:
        arrays: as `FireSteps` makes them, without features.
        view: 0 to 7, see `emberformer.views`.
        vectors: pairs of `terrain_pixels` channels that are an east and a north component.
    """
    if view == 0:
        return arrays
    grids = {"fire_pixels": 1, "terrain_pixels": 1, "categories": 1, "history_pixels": 1, "target": 0,
             "arrival_lead": 0, "prior": 1}  # fmt: skip
    result = dict(arrays)
    for key, y in grids.items():
        if key in arrays:
            result[key] = turned(arrays[key], y, view).copy()
    for winds in {"wind", "coming_wind"} & set(arrays):
        result[winds] = np.stack(turned_vector(arrays[winds][:, 0], arrays[winds][:, 1], view), 1)
    for east, north in vectors:
        pair = turned_vector(result["terrain_pixels"][east], result["terrain_pixels"][north], view)
        result["terrain_pixels"][[east, north]] = np.stack(pair)
    return result
