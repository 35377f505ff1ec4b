"""What a network sees of patches without a backbone, cut, mirrored and turned as the window is."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from jaxtyping import Float

from emberformer.errors import InputError
from emberformer.features.reading import Cut
from emberformer.landscape import Landscape
from emberformer.views import turned, turned_vector


def patch_arrays(
    wanted: Collection[str], landscape: Landscape, history: int, frames: Cut, terrain: Cut, forgotten: bool = False
) -> dict[str, np.ndarray]:
    """Arrays of one item, of those that are wanted.

    `occupancy [T Gy Gx]` is the share of each patch that burns, oldest first, 0 on padding, which lies on the left;
    `terrain_means [C Gy Gx]` are the normalised means of the terrain (`TerrainNormaliser.of_patches`), in which the
    slope's direction turns with the view; `patch_valid [Gy Gx]` says which patches hold a real pixel; `frame_cls [D]`
    is the CLS token of the newest frame, as a whole and in its first view.

    Args:
        wanted: names of arrays.
        landscape: whose stores are read.
        history: T.
        frames: rows of the history in the feature store, and the window.
        terrain: row of the terrain, and the window.
        forgotten: the categories are unknown.
    """
    found: dict[str, np.ndarray] = {}
    if "occupancy" in wanted:
        shares = landscape.burned_reader.read(frames)
        found["occupancy"] = np.pad(shares, ((history - len(shares), 0), (0, 0), (0, 0)))
    if "terrain_means" in wanted:
        (stored,) = landscape.mean_reader.read(terrain)
        of_channel = dict(zip(landscape.mean_channels, stored, strict=True))
        means = landscape.normaliser.of_patches(of_channel, landscape.units)
        for east, north in landscape.terrain_vectors:
            means[[east, north]] = np.stack(turned_vector(means[east], means[north], terrain.view))
        if forgotten:
            means[len(landscape.normaliser.channels) :] = 0
        found["terrain_means"] = means
    if "patch_valid" in wanted:
        found["patch_valid"] = turned(landscape.patch_valid[frames.y, frames.x], 0, frames.view).copy()
    if "frame_cls" in wanted:
        found["frame_cls"] = landscape.frame_cls[frames.rows[-1]]
    return found


def cell_shares(
    values: Float[np.ndarray, "B H W"], grid: tuple[int, int], pixels: int, cells: int, key: str
) -> Float[np.ndarray, "B Gy Gx C"]:
    """Mean of the cells of each patch, row by row; what lies beyond the raster counts as 0.

    Args:
        values: burned areas or probabilities.
        grid: patches along y and x.
        pixels: on a side of a patch.
        cells: on a side of a patch.
        key: that says so in the configuration.

    Raises:
        InputError: a patch cannot be cut into so many cells.
    """
    if pixels % cells:
        raise InputError(
            key, f"{cells}, and a patch of {pixels} pixels", "a number that divides it",
            f"set {key} to one of {[n for n in range(1, pixels + 1) if pixels % n == 0]}",
        )  # fmt: skip
    missing = [(0, length * pixels - there) for length, there in zip(grid, values.shape[1:], strict=True)]
    whole = np.pad(values, ((0, 0), *missing))
    side = pixels // cells
    means = whole.reshape(len(whole), grid[0], cells, side, grid[1], cells, side).mean((3, 6))
    return means.transpose(0, 1, 3, 2, 4).reshape(len(whole), *grid, cells**2)
