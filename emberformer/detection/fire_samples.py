"""Windows of a fire's features with the boxes of its fronts and spots, at the newest frame and one frame later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emberformer.data.normalise import wind_input
from emberformer.dataset import Step
from emberformer.detection.boxes import to_pixels, to_shares, turned_back, turned_boxes
from emberformer.detection.fire_objects import KINDS, Boxes, ClusterRule, FireObjects, fire_objects
from emberformer.detection.samples import DetectionBatch
from emberformer.features.reading import Cut, TokenReader
from emberformer.landscape import Landscape
from emberformer.patch_arrays import cell_shares, patch_arrays
from emberformer.views import turned, turned_vector
from emberformer.windows import choose_window, padded, pixel_slices

Horizon = Literal["now", "next"]
FRAMES = 2  # the frame before and the newest one
LOUDNESS = 10.0  # of burned shares, so that among hundreds of features they are not drowned in the projection


@dataclass(frozen=True)
class FireWindow:
    """Which part of which frame a sample is.

    Args:
        landscape: whose stores are read.
        fire: number of the fire.
        step: number of the newest frame, from 0.
        y, x: patch rows and columns.
        view: how the window is mirrored and turned.
        grid: patches that the sample has; it is padded at the bottom and right.
    """

    landscape: Landscape
    fire: int
    step: int
    y: slice
    x: slice
    view: int
    grid: tuple[int, int]

    @property
    def row(self) -> int:
        """Row of the newest frame in the fires store."""
        return int(self.landscape.row_start[self.fire]) + self.step

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, before it is turned and padded."""
        pixels = self.landscape.pixels
        return (self.y.stop - self.y.start) * pixels, (self.x.stop - self.x.start) * pixels

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width in pixels of what boxes are shares of."""
        return self.grid[0] * self.landscape.pixels, self.grid[1] * self.landscape.pixels

    def to_raster(self, shares: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """x0 y0 x1 y1 in pixels of the fire's whole raster, of boxes in shares of the sample."""
        height, width = self.size
        size = (width, height) if self.view & 4 else (height, width)
        upright = turned_boxes(to_pixels(shares, self.padded_size), size, turned_back(self.view))
        corner = self.landscape.origin[self.fire] + np.array([self.y.start, self.x.start]) * self.landscape.pixels
        return upright + np.tile(corner[::-1].astype(float), 2)


class FireObjectSamples:
    """Features of the newest frame and the one before it, with the objects that came in the newest and come next.

    Features of a patch: hidden layers (where the store has them) and tokens of the newest frame, the same of the frame
    before (0 for a fire's first frame), burned share of the patch's cells in both (older first, times `LOUDNESS`),
    terrain, the wind of the step to the newest frame and of the step to come (east and north, 10 m/s), and 1 where
    there is a frame before.

    Args:
        landscapes: opened stores, of one resolution of patches.
        steps: frames to serve; `Step.lead` says nothing.
        rule: what makes an object.
        horizons: 'now', what is new in the newest frame (in a fire's first one, its ignitions), 'next', what is new
            one frame later (none after the fire's last frame), or both.
        cells: on a side of a patch, of which the burned share is told.
        crop: side in patches of a random window that holds new fire; None: whole rasters.
        flip: mirror and turn at random.
        seed: with the epoch and the index the only source of chance.

    Categories are `front_now`, `spot_now`, `front_next` and `spot_next`, of the horizons asked for; `spot_next` are the
    new ignitions.
    """

    def __init__(
        self,
        landscapes: Sequence[Landscape],
        steps: Sequence[Step],
        rule: ClusterRule,
        horizons: tuple[Horizon, ...] = ("now", "next"),
        cells: int = 1,
        crop: int | None = None,
        flip: bool = False,
        seed: int = 0,
    ):
        self.landscapes, self.steps, self.rule, self.horizons = list(landscapes), list(steps), rule, horizons
        self.cells, self.crop, self.flip, self.seed, self.epoch = cells, crop, flip, seed, 0
        sides = np.array([landscape.grid for landscape in landscapes]).max(0)
        self.grid = (int(min(sides[0], crop or sides[0])), int(min(sides[1], crop or sides[1])))
        self.categories = tuple(f"{kind}_{horizon}" for horizon in horizons for kind in KINDS)
        first = self.landscapes[0]
        self.readers = [_readers(landscape) for landscape in self.landscapes]
        self.tokens = sum(_width(reader) for reader in self.readers[0])
        terrain = len(first.normaliser.patch_channels)
        self.channels = FRAMES * (self.tokens + cells**2 + 2) + terrain + 1

    def __len__(self) -> int:
        return len(self.steps)

    def set_epoch(self, epoch: int) -> None:
        """Choose the windows and views of an epoch."""
        self.epoch = epoch

    def window(self, index: int) -> FireWindow:
        """Which part of which frame a sample is in this epoch."""
        step = self.steps[index]
        landscape = self.landscapes[step.landscape]
        if self._size(landscape) == landscape.grid and not self.flip:  # whole rasters, whatever lies in them
            y, x = (slice(0, length) for length in landscape.grid)
            return FireWindow(landscape, step.fire, step.step, y, x, 0, self.grid)
        return self._placed(index)[0]

    def objects(self, index: int) -> Boxes:
        """Objects of a sample in pixels of its window, turned as it is; labels are of `categories`."""
        window, found = self._placed(index)
        return self._boxes(window, found)

    def __getitems__(self, indices: list[int]) -> DetectionBatch:
        """A whole batch."""
        device = self.readers[0][-1].device
        features = torch.zeros(len(indices), self.channels, *self.grid, device=device)
        valid = torch.zeros(len(indices), *self.grid, dtype=torch.bool)
        boxes, labels = [], []
        for place, index in enumerate(indices):
            window, found = self._placed(index)
            self._read(window, self.readers[self.steps[index].landscape], features[place], valid[place])
            told = self._boxes(window, found)
            boxes.append(torch.from_numpy(to_shares(told.boxes, window.padded_size)).float())
            labels.append(torch.from_numpy(told.labels))
        weights = [torch.ones(len(of)) for of in labels]
        return DetectionBatch(features, valid, boxes, labels, weights, torch.tensor(indices))

    def _placed(self, index: int) -> tuple[FireWindow, list[FireObjects]]:
        """Window of a sample, and the objects of each horizon on the raster."""
        step = self.steps[index]
        landscape = self.landscapes[step.landscape]
        found = [self._found(landscape, step.fire, step.step + (horizon == "next")) for horizon in self.horizons]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        row = int(landscape.row_start[step.fire]) + step.step
        size = self._size(landscape)
        growth = np.any([of.clusters > 0 for of in found], axis=0)
        burned = landscape.burned(step.fire, range(row, row + 1))[0]
        y, x = choose_window(burned, growth, size, landscape.grid, landscape.pixels, rng)
        view = int(rng.integers(8 if size[0] == size[1] else 4)) if self.flip else 0
        return FireWindow(landscape, step.fire, step.step, y, x, view, self.grid), found

    def _size(self, landscape: Landscape) -> tuple[int, int]:
        """Patch rows and columns of a landscape's windows."""
        return min(self.grid[0], landscape.grid[0]), min(self.grid[1], landscape.grid[1])

    def _found(self, landscape: Landscape, fire: int, step: int) -> FireObjects:
        """Objects that are new in a frame of a fire; none after its last one."""
        first = int(landscape.row_start[fire])
        if step >= landscape.row_size[fire]:
            last = landscape.burned(fire, range(first + step - 1, first + step))[0]
            return FireObjects(np.zeros(last.shape, np.int32), np.zeros(0, np.int64))
        masks = landscape.burned(fire, range(first + max(step - 1, 0), first + step + 1))
        return fire_objects(masks[-1], masks[0] if step else None, self.rule)

    def _boxes(self, window: FireWindow, found: Sequence[FireObjects]) -> Boxes:
        y, x = (pixel_slices(patches, window.landscape.pixels) for patches in (window.y, window.x))
        parts = []
        for number, objects in enumerate(found):
            clusters = turned(padded(objects.clusters[y, x], window.size, 0), 0, window.view)
            told = FireObjects(np.ascontiguousarray(clusters), objects.labels).boxes(self.rule)
            parts.append(told._replace(labels=told.labels + number * len(KINDS)))
        return Boxes(*(np.concatenate(of) for of in zip(*parts, strict=True)))

    def _read(self, window: FireWindow, readers: Sequence[TokenReader], features: Tensor, valid: Tensor) -> None:
        """Fill in the features [C Gy Gx] of a window and which of its patches are real [Gy Gx]."""
        landscape, row, view = window.landscape, window.row, window.view
        seen = range(row - min(window.step, FRAMES - 1), row + 1)
        frames = Cut(tuple(landscape.frame_of[seen.start : seen.stop].tolist()), window.y, window.x, view)
        parts = [_tokens(readers, frames)]
        terrain = Cut((int(landscape.terrain_row[window.fire]),), window.y, window.x, view)
        arrays = patch_arrays({"terrain_means", "patch_valid"}, landscape, FRAMES, frames, terrain)
        told = [LOUDNESS * self._burned(window, seen), arrays["terrain_means"]]
        parts += [torch.from_numpy(np.ascontiguousarray(of)).float() for of in told]
        height, width = parts[0].shape[1:]
        winds = np.stack([landscape.wind[max(row - 1, seen.start)], landscape.wind_ahead(window.fire, row, 1)])
        known = wind_input(np.where(np.array([len(seen) > 1, True])[:, None], winds, np.nan))
        wind = np.array([*np.stack(turned_vector(known[:, 0], known[:, 1], view), 1).ravel(), len(seen) > 1], "f4")
        parts.append(torch.from_numpy(wind)[:, None, None].expand(-1, height, width))
        features[:, :height, :width] = torch.cat([part.to(features.device) for part in parts])
        valid[:height, :width] = torch.from_numpy(arrays["patch_valid"])

    def _burned(self, window: FireWindow, seen: range) -> Float[np.ndarray, "C Gy Gx"]:
        """Burned share of the cells of each patch, older frame first; 0 where there is none."""
        landscape = window.landscape
        y, x = (pixel_slices(patches, landscape.pixels) for patches in (window.y, window.x))
        masks = (landscape.burned(window.fire, seen)[:, y, x] == 1).astype(np.float32)
        upright = turned(padded(masks, window.size, 0), 1, window.view)
        grid = upright.shape[1] // landscape.pixels, upright.shape[2] // landscape.pixels
        shares = cell_shares(upright, grid, landscape.pixels, self.cells, "detection.fires.cells")
        missing = np.zeros((FRAMES - len(shares), *shares.shape[1:]), np.float32)
        return np.moveaxis(np.concatenate([missing, shares]), -1, 1).reshape(-1, *grid)


def _readers(landscape: Landscape) -> list[TokenReader]:
    hidden = [landscape.layer_reader] if landscape.identity["layers"] else []
    return [*hidden, landscape.frame_reader]


def _width(reader: TokenReader) -> int:
    """Numbers that a patch of a row has."""
    layers = reader.shape[1] if len(reader.shape) == 5 else 1
    return layers * reader.shape[-1]


def _tokens(readers: Sequence[TokenReader], frames: Cut) -> Float[Tensor, "C Gy Gx"]:
    """Tokens of the newest frame, then of the one before it, 0 where there is none; layers beside each other."""
    size = frames.y.stop - frames.y.start, frames.x.stop - frames.x.start
    parts = []
    for reader in readers:
        shape = (len(frames.rows), *reader.shape[1:-3], *size, reader.shape[-1])
        out = torch.empty(shape, dtype=reader.dtype, device=reader.device)
        reader.read([frames], [out])
        parts.append(out.movedim(-1, -3).reshape(len(out), -1, *size).float())
    tokens = torch.cat(parts, 1).flip(0).flatten(0, 1)
    missing = (FRAMES - len(frames.rows)) * tokens.shape[0]
    return torch.cat([tokens, tokens.new_zeros(missing, *size)])
