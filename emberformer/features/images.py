"""Images on their way to the backbone: rows of a fires store, read, cut and rendered, and their patches' means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from emberformer.data.fires import bands_of
from emberformer.features.block import BlockWriter
from emberformer.features.channel_map import ChannelMap
from emberformer.features.patch_means import burned_share, terrain_means
from emberformer.features.plan import Plan, cut, first_uses
from emberformer.features.rendering import render_frame, render_terrain
from emberformer.features.rows import runs
from emberformer.features.shape import Axis


@dataclass(frozen=True)
class Batch:
    """Some records of one block on their way to the backbone.

    Args:
        writers: of the block, one an array.
        images: of the records that have a source, one after the other: grey [n H W], or [n 3 H W].
        means: further arrays of these records, which need no backbone, by name.
        present: which of the records have a source.
        last: whether the block is whole after these records.
        found: records before these that an earlier process left.
    """

    writers: dict[str, BlockWriter]
    images: Tensor
    means: dict[str, np.ndarray]
    present: np.ndarray
    last: bool
    found: int


class ImageSource:
    """Images of the rows of one axis.

    Args:
        fires: the fires store.
        plan: which row shows what.
        axis: 'frame' or 'terrain'.
        window: `FeatureSettings.window`.
        pixels: raster pixels on a side of a patch.
        channels: how terrain becomes images.
    """

    def __init__(
        self, fires: xr.Dataset, plan: Plan, axis: Axis, window: int | None, pixels: int, channels: ChannelMap
    ):
        self.fires, self.plan, self.axis, self.window = fires, plan, axis, window
        self.pixels, self.channels = pixels, channels
        self.first = first_uses(plan, axis)
        self.kinds = bands_of(fires)[1]
        self.fire_index = fires.fire_index.values

    def batch(self, writers: dict[str, BlockWriter], rows: range, last: bool, found: int) -> Batch:
        """Read and render some rows."""
        present = np.array([row in self.first for row in rows], bool)
        places = [self.first[row] for row in rows if row in self.first]
        if not places:
            return Batch(writers, torch.zeros(0, 1, 1), {}, present, last, found)
        images, means = self._frames(places) if self.axis == "frame" else self._terrain(places)
        return Batch(writers, torch.from_numpy(images), means, present, last, found)

    def _frames(self, places: list[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rasters = []
        for _, run in runs(places):
            for place, burned in zip(run, self.fires.burned[run.start : run.stop].values, strict=True):
                rasters.append(cut(burned, self.plan.origin[int(self.fire_index[place])], self.window))
        frames = np.stack(rasters)
        return render_frame(frames), {"frame_burned": burned_share(frames, self.pixels)}

    def _terrain(self, places: list[int]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        images, means = [], []
        for fire in places:
            whole = self.fires.terrain[int(self.fires.terrain_index.values[fire])].values
            terrain = cut(whole, self.plan.origin[fire], self.window)
            images.append(self.channels.apply(render_terrain(terrain, self.kinds)))
            means.append(terrain_means(terrain, self.kinds, self.pixels))
        return np.concatenate(images), {"terrain_mean": np.stack(means)}
