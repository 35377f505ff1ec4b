"""Clips: features of fires in memory, and the windows of them from which the future is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emberformer.checkpoint import open_landscape
from emberformer.data.normalise import wind_input
from emberformer.data.split import read_split
from emberformer.errors import InputError
from emberformer.features.reading import Cut
from emberformer.foresight_settings import ForesightSettings
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.network_sizes import Sizes
from emberformer.sampling import evenly_spaced
from emberformer.settings import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
AT_ONCE = 64  # frames that are read together


@dataclass(frozen=True)
class Clips:
    """Features of some fires of one data set, frame after frame.

    Args:
        dataset: name of the data set.
        landscape: its stores, for what is not in memory.
        fires: numbers of the fires in the fires store.
        split: of each fire.
        start: first row of each fire here.
        size: frames of each fire.
        features: patch tokens of every frame, with those of further layers beside them.
        cls: its CLS token.
        share: share of each patch that is burned.
        static: normalised means of the terrain of each fire.
        wind: towards east and north, from each frame to the next, in units of 10 m/s; 0 = unknown.
        valid: patches that hold a real pixel.
    """

    dataset: str
    landscape: Landscape
    fires: Int[np.ndarray, " fire"]
    split: tuple[Split, ...]
    start: Int[np.ndarray, " fire"]
    size: Int[np.ndarray, " fire"]
    features: Float[Tensor, "F Gy Gx D"]
    cls: Float[Tensor, "F C"]
    share: Float[Tensor, "F Gy Gx"]
    static: Float[Tensor, "fire Gy Gx S"]
    wind: Float[Tensor, "F 2"]
    valid: Bool[Tensor, "Gy Gx"]

    @cached_property
    def fire_of(self) -> Int[np.ndarray, " F"]:
        """Number of the fire, here, of each frame."""
        return np.repeat(np.arange(len(self.size)), self.size)

    @cached_property
    def fire_ids(self) -> list[str]:
        """Name of each fire."""
        names = self.landscape.fires.fire_id.values
        return [str(names[number]) for number in self.fires]

    @property
    def seconds(self) -> float:
        """Time between two frames."""
        return float(self.landscape.resolution[1])

    def windows(self, split: Split, ahead: int, per_fire: int | None = None) -> Int[np.ndarray, " window"]:
        """Rows of newest frames that have so many frames ahead; of each fire all, or so many evenly spaced ones."""
        found = [np.zeros(0, int)]
        for fire, (start, size) in enumerate(zip(self.start, self.size, strict=True)):
            count = int(size) - ahead
            if self.split[fire] == split and count > 0:
                found.append(start + evenly_spaced(count, per_fire or count))
        return np.concatenate(found)

    def named(self, rows: Int[np.ndarray, " B"]) -> list[tuple[str, int]]:
        """Name of the fire and number of the frame within it, of each row."""
        fires = self.fire_of[rows]
        return [(self.fire_ids[fire], int(row - self.start[fire])) for fire, row in zip(fires, rows, strict=True)]

    def history(self, rows: Int[np.ndarray, " B"], moments: int) -> tuple[Int[Tensor, "B T"], Bool[Tensor, "B T"]]:
        """Rows of the newest frames, oldest first, and which of them are real; padding repeats the fire's first one."""
        ago = np.arange(moments)[::-1]
        first = self.start[self.fire_of[rows]][:, None]
        wanted = rows[:, None] - ago
        return torch.from_numpy(np.maximum(wanted, first)), torch.from_numpy(wanted >= first)

    def winds(self, rows: Int[np.ndarray, " B"], moments: int, ahead: int) -> Float[Tensor, "B M 2"]:
        """Wind of the steps that led to the newest frame and of those to come, 0 where there is none.

        At place `moments` stands the wind of the step from the newest frame to the next. Where the data set does not
        foresee the wind, that of the newest frame stands for all to come.
        """
        fires = self.fire_of[rows]
        first, last = self.start[fires][:, None], (self.start + self.size)[fires][:, None] - 1
        wanted = rows[:, None] + np.arange(-moments, ahead)
        inside = torch.from_numpy((wanted >= first) & (wanted <= last))
        if not self.landscape.foresees_wind:
            wanted = np.minimum(wanted, rows[:, None])
        return self.wind[torch.from_numpy(np.clip(wanted, first, last))] * inside[..., None]


def read_clips(layout: Layout, of: ForesightSettings, splits: tuple[Split, ...] = SPLITS) -> list[Clips]:
    """Clips of all data sets.

    Args:
        layout: paths of the configuration.
        of: settings of the study.
        splits: fires that are wanted.

    Raises:
        InputError: a store or the split is missing, or no fire to train or to choose on is long enough for the longest
            gap.
    """
    split = read_split(layout.split, layout.settings.split.leakage)
    sizes = Sizes.of(layout, split)
    found = []
    for name in layout.settings.datasets:
        landscape = open_landscape(layout, name, sizes)
        fires = _chosen(landscape, split[name], splits, of.fires)
        if fires:
            found.append(_read(landscape, split[name], fires, of.target_layers))
    for wanted in [one for one in splits if one != "test"]:  # of the test each part of the study asks for its own
        if not any(len(clips.windows(wanted, of.gaps[-1])) for clips in found):
            raise InputError(
                layout.split, f"no {wanted} fire with {of.gaps[-1] + 1} frames", "fires that reach the longest gap",
                "lower foresight.gaps, or add fires",
            )  # fmt: skip
    return found


def _chosen(landscape: Landscape, split: dict[str, str], splits: tuple[Split, ...], most: int | None) -> list[int]:
    names = list(map(str, landscape.fires.fire_id.values))
    found = []
    for wanted in splits:
        own = np.array([number for number, name in enumerate(names) if split.get(name) == wanted], int)
        found += own[evenly_spaced(len(own), most or len(own))].tolist() if len(own) else []
    return found


def _read(landscape: Landscape, split: dict[str, str], fires: list[int], layers: tuple[int, ...]) -> Clips:
    """Read the clips of some fires.

    Raises:
        InputError: the store lacks one of the layers.
    """
    rows = np.concatenate([landscape.row_start[f] + np.arange(landscape.row_size[f]) for f in fires])
    frames = landscape.frame_of[rows]
    whole = slice(0, landscape.grid[0]), slice(0, landscape.grid[1])
    numbers = _layer_numbers(landscape, layers)
    length = landscape.features
    # Layers are whole tokens, where others may be components.
    beside = landscape.layer_reader.shape[-1] * len(layers) if layers else 0
    features = torch.empty(len(rows), *landscape.grid, length + beside, dtype=torch.float16)
    share = np.empty((len(rows), *landscape.grid), np.float32)
    for at in range(0, len(rows), AT_ONCE):
        cut = Cut(tuple(frames[at : at + AT_ONCE].tolist()), *whole)
        last = torch.empty(len(cut.rows), *landscape.grid, length, dtype=landscape.frame_reader.dtype)
        landscape.frame_reader.read([cut], [last])
        features[at : at + AT_ONCE, ..., :length] = last
        if layers:
            reader = landscape.layer_reader
            hidden = torch.empty(len(cut.rows), *reader.shape[1:], dtype=reader.dtype)
            reader.read([cut], [hidden])
            features[at : at + AT_ONCE, ..., length:] = hidden[:, numbers].permute(0, 2, 3, 1, 4).flatten(3)
        share[at : at + AT_ONCE] = landscape.burned_reader.read(cut)
    static = []
    for fire in fires:
        (stored,) = landscape.mean_reader.read(Cut((int(landscape.terrain_row[fire]),), *whole))
        means = dict(zip(landscape.mean_channels, stored, strict=True))
        static.append(landscape.normaliser.of_patches(means, landscape.units).transpose(1, 2, 0))
    names = landscape.fires.fire_id.values
    size = landscape.row_size[fires].astype(int)
    return Clips(
        landscape.name, landscape, np.array(fires), tuple(split[str(names[f])] for f in fires),  # type: ignore[arg-type]
        np.cumsum(size) - size, size, features, torch.from_numpy(landscape.frame_cls[frames]),
        torch.from_numpy(share), torch.from_numpy(np.stack(static)),
        torch.from_numpy(wind_input(landscape.wind[rows])), torch.from_numpy(landscape.patch_valid.copy()),
    )  # fmt: skip


def _layer_numbers(landscape: Landscape, layers: tuple[int, ...]) -> list[int]:
    """Places of some blocks among the stored layers.

    Raises:
        InputError: the store lacks one.
    """
    stored = list(landscape.identity["layers"])
    if missing := [layer for layer in layers if layer not in stored]:
        raise InputError(
            landscape.features_location, f"tokens after the blocks {stored}", f"also after {missing}",
            "name the blocks of foresight.target_layers in features.layers, and extract again",
        )  # fmt: skip
    return [stored.index(layer) for layer in layers]
