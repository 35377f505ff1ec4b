"""What the backbone needs to encode frames and terrain itself: whole images, and how the tokens go into a window.

Attention sees all patches of a frame, so that a window can only be cut, mirrored and turned after the encoding.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from emberformer.features.reading import Cut
from emberformer.features.rendering import render_frame
from emberformer.landscape import Landscape
from emberformer.views import turned

ROWS = 2**40  # more than the images of one landscape: images of all landscapes have numbers of their own


def whole_frame_arrays(
    wanted: Collection[str], landscape: Landscape, fire: int, burned: np.ndarray, history: int, frames: Cut
) -> dict[str, np.ndarray]:
    """Arrays of one item, of those that are wanted.

    `frame_images [T H W]` and `terrain_images [C H W]` or `[C 3 H W]` are rendered (`emberformer.features.rendering`),
    zero on padding and for a band that the landscape lacks. `frame_row [T]` and `terrain_row [C]` are numbers of these
    images, the same for the same image in all items, and -1 where the tokens are to be zero. `patch_index [Gy Gx]` says
    which patch of the whole grid each patch of the window is, and `whole_grid [2]` how many patches that grid has.

    Args:
        wanted: names of arrays.
        landscape: whose stores are read.
        fire: number of the fire.
        burned: masks of the history [n H W], oldest first.
        history: T.
        frames: rows of the history in the feature store, and the window.
    """
    found: dict[str, np.ndarray] = {}
    first = landscape.number * ROWS
    if "patch_index" in wanted:
        whole = np.arange(landscape.grid[0] * landscape.grid[1]).reshape(landscape.grid)
        found["patch_index"] = turned(whole[frames.y, frames.x], 0, frames.view).copy()
        found["whole_grid"] = np.array(landscape.grid)
    if "frame_row" in wanted:
        rows = np.full(history, -1)
        rows[history - len(frames.rows) :] = first + np.array(frames.rows)
        found["frame_row"] = rows
    if "frame_images" in wanted:
        images = np.zeros((history, *burned.shape[1:]), np.float32)
        images[history - len(burned) :] = render_frame(burned)
        found["frame_images"] = images
    if "terrain_images" in wanted:
        found["terrain_images"] = landscape.terrain_images(fire)
        channels = np.arange(len(landscape.channel_order))
        known = np.array([number is not None for number in landscape.channel_order])
        found["terrain_row"] = np.where(known, first + int(landscape.terrain_row[fire]) * len(channels) + channels, -1)
    return found
