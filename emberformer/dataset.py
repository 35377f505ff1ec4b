"""Windows over the stores: what the model sees of one fire at one step, and how steps become batches."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from emberformer.data.fires import observed, open_fires
from emberformer.data.normalise import TerrainNormaliser, wind_input
from emberformer.errors import InputError
from emberformer.features.store import FeatureRows, open_features

UNKNOWN = 255
TERRAIN_MEMORY = 64  # windows of one data set whose normalised terrain stays in memory


@dataclass(frozen=True)
class Step:
    """One forecast to make: from frame `step` of a fire to the next."""

    landscape: int
    fire: int
    step: int


class Landscape:
    """The two stores of one data set, row for row, and its normalised terrain.

    Args:
        name: name of the data set.
        fires_path: fires store.
        features_path: feature store.
        normaliser: fitted on training fires.
        channels: terrain images in the order the model knows them; one that this landscape lacks is zero.

    Raises:
        InputError: the feature store was made from other fires.
    """

    def __init__(
        self, name: str, fires_path: Path, features_path: Path, normaliser: TerrainNormaliser, channels: Sequence[str]
    ):
        self.name, self.normaliser = name, normaliser
        self.fires = open_fires(fires_path)
        features = open_features(features_path)
        if features.attrs["fires_content_digest"] != self.fires.attrs["content_digest"]:
            raise InputError(
                features_path, "features of other fires than the fires store holds now",
                f"features of {fires_path}", "run `snakemake extract_features`",
            )  # fmt: skip
        self.pixels = int(features.attrs["pixels_per_patch"])
        self.grid = (features.sizes["patch_y"], features.sizes["patch_x"])
        self.row_start = self.fires.row_start.values
        self.row_size = self.fires.row_size.values
        self.feature_start = features.row_start.values
        self.terrain_row = features.terrain_index.values
        self.terrain_index = self.fires.terrain_index.values
        own = {str(band): number for number, band in enumerate(features.band.values)}
        self.channel_order = [own.get(channel) for channel in channels]
        self.angle_channels = [n for n, channel in enumerate(channels) if channel.endswith((".sin", ".cos"))]
        self.wind = self.fires.weather.sel(weather_variable=["wind_u", "wind_v"]).values
        self.frame_patches = FeatureRows(features_path, "frame_patches")
        self.terrain_patches = FeatureRows(features_path, "terrain_patches")
        self._terrain: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def terrain(self, fire: int) -> tuple[np.ndarray, np.ndarray]:
        """Normalised terrain channels and categories of a fire's window, kept while they are used."""
        index = int(self.terrain_index[fire])
        if index not in self._terrain:
            self._terrain[index] = self.normaliser.apply(self.fires, index)
            if len(self._terrain) > TERRAIN_MEMORY:
                self._terrain.popitem(last=False)
        self._terrain.move_to_end(index)
        return self._terrain[index]


def list_steps(
    landscapes: Sequence[Landscape], split: dict[str, dict[str, str]], name: str, per_fire: int | None = None
) -> list[Step]:
    """Steps of all fires of a split that have a next frame; with `per_fire`, that many evenly spaced ones."""
    steps = []
    for number, landscape in enumerate(landscapes):
        for fire, fire_id in enumerate(map(str, landscape.fires.fire_id.values)):
            if split[landscape.name].get(fire_id) != name:
                continue
            count = int(landscape.row_size[fire]) - 1
            chosen = np.unique(np.linspace(0, count - 1, min(per_fire or count, count)).round().astype(int))
            steps += [Step(number, fire, int(step)) for step in chosen]
    return steps


class FireSteps(Dataset):
    """Model inputs and targets of steps.

    Args:
        landscapes: opened stores.
        steps: what to serve; every index is another (fire, step).
        history: newest frames that the model sees, T.
        crop: side of a random crop in patches around the fire; None: whole frames.
        flip: mirror and turn at random.

    An item holds (B being added by the loader): `frame_patches [T Gy Gx D]`, `terrain_patches [C Gy Gx D]`,
    `wind [T 2]`, `valid_t [T]`, `fire_pixels [2 H W]`, `terrain_pixels [K H W]`, `categories [Q H W]`,
    `target [H W]` uint8 with 255 = unknown or padding, `index`. H and W are whole patches; the raster lies at the
    upper left.
    """

    def __init__(
        self,
        landscapes: Sequence[Landscape],
        steps: Sequence[Step],
        history: int,
        crop: int | None = None,
        flip: bool = False,
    ):
        self.landscapes, self.steps, self.history = list(landscapes), list(steps), history
        self.crop, self.flip = crop, flip

    def __len__(self) -> int:
        return len(self.steps)

    def size(self, index: int) -> tuple[int, int]:
        """Patch grid of an item; items of one batch must agree."""
        grid = self.landscapes[self.steps[index].landscape].grid
        return tuple(min(side, self.crop or side) for side in grid)  # type: ignore[return-value]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        step = self.steps[index]
        landscape = self.landscapes[step.landscape]
        fires, pixels = landscape.fires, landscape.pixels
        row = int(landscape.row_start[step.fire]) + step.step
        first = max(0, step.step + 1 - self.history)
        seen = step.step + 1 - first
        burned = fires.burned[row - seen + 1 : row + 1].values
        last = step.step + 1 < landscape.row_size[step.fire]
        target = observed(fires, row + 1) if last else np.full_like(burned[0], UNKNOWN)
        rows, columns = self._window(landscape, burned[-1], target, self.size(index))
        y, x = _pixel_slices(rows, pixels), _pixel_slices(columns, pixels)
        shape = ((rows.stop - rows.start) * pixels, (columns.stop - columns.start) * pixels)
        terrain_pixels, categories = landscape.terrain(step.fire)
        lit = burned[:, y, x] == 1
        item = {
            "frame_patches": self._history(landscape, step, first, rows, columns),
            "terrain_patches": _terrain_patches(landscape, step.fire, rows, columns),
            "wind": np.zeros((self.history, 2), np.float32),
            "valid_t": np.arange(self.history) >= self.history - seen,
            "fire_pixels": _pad(np.stack([lit[-1], lit.mean(0)]).astype(np.float32), shape, 0),
            "terrain_pixels": _pad(terrain_pixels[:, y, x], shape, 0),
            "categories": _pad(categories[:, y, x], shape, 0),
            "target": _pad(target[y, x], shape, UNKNOWN),
        }
        item["wind"][self.history - seen :] = wind_input(landscape.wind[row - seen + 1 : row + 1])
        if self.flip:
            names = landscape.normaliser.channels
            vectors = [(n, n + 1) for n, name in enumerate(names) if name.endswith(".east")]
            views = 8 if shape[0] == shape[1] else 4  # swapped axes would not fit the batch
            item = turn(item, int(torch.randint(views, ())), vectors, landscape.angle_channels)
        return {
            **{key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in item.items()},
            "index": torch.tensor(index),
        }

    def _window(
        self, landscape: Landscape, burned: np.ndarray, target: np.ndarray, size: tuple[int, int]
    ) -> tuple[slice, slice]:
        """Patch rows and columns to serve: all, or a random window that holds a random pixel of the next growth."""
        if size == landscape.grid:
            return slice(0, size[0]), slice(0, size[1])
        growth = np.argwhere((target == 1) & (burned == 0))
        candidates = growth if len(growth) else np.argwhere(burned == 1)
        centre = candidates[int(torch.randint(len(candidates), ()))] if len(candidates) else np.array(burned.shape) // 2
        windows = []
        for position, side, whole in zip(centre // landscape.pixels, size, landscape.grid, strict=True):
            low, high = max(0, int(position) - side + 1), min(int(position), whole - side)
            start = low + int(torch.randint(max(high - low, 0) + 1, ()))
            windows.append(slice(start, start + side))
        return windows[0], windows[1]

    def _history(self, landscape: Landscape, step: Step, first: int, rows: slice, columns: slice) -> np.ndarray:
        """Cached tokens, padded on the left with zeros after the cache: padding never passes the backbone."""
        start = int(landscape.feature_start[step.fire])
        features = landscape.frame_patches.shape[-1]
        patches = np.zeros((self.history, rows.stop - rows.start, columns.stop - columns.start, features), np.float32)
        for slot, frame in enumerate(range(first, step.step + 1), self.history - (step.step + 1 - first)):
            patches[slot] = landscape.frame_patches[start + frame][rows, columns]
        return _finite(patches, landscape, step.fire)


def _terrain_patches(landscape: Landscape, fire: int, rows: slice, columns: slice) -> np.ndarray:
    own = landscape.terrain_patches[int(landscape.terrain_row[fire])]
    window = own[:, rows, columns].astype(np.float32)
    patches = np.zeros((len(landscape.channel_order), *window.shape[1:]), np.float32)
    for channel, number in enumerate(landscape.channel_order):
        if number is not None:
            patches[channel] = window[number]
    return _finite(patches, landscape, fire)


def _finite(patches: np.ndarray, landscape: Landscape, fire: int) -> np.ndarray:
    """Patches as they are; nothing trains on a hole."""
    if not np.isfinite(patches).all():
        raise InputError(
            f"{landscape.name}: features of {landscape.fires.fire_id.values[fire]}", "NaN", "finite features",
            "run `emberformer features verify --fix` on the store, then `snakemake extract_features`",
        )  # fmt: skip
    return patches


def _pixel_slices(patches: slice, pixels: int) -> slice:
    return slice(patches.start * pixels, patches.stop * pixels)


def _pad(values: np.ndarray, shape: tuple[int, int], fill: int) -> np.ndarray:
    """Raster at the upper left of whole patches."""
    missing = [(0, 0)] * (values.ndim - 2) + [(0, shape[n] - values.shape[values.ndim - 2 + n]) for n in range(2)]
    return np.pad(values, missing, constant_values=fill) if any(m[1] for m in missing) else values


def turn(
    item: dict[str, np.ndarray], view: int, vectors: Sequence[tuple[int, int]], angles: Sequence[int]
) -> dict[str, np.ndarray]:
    """One of the eight mirrored and turned views of an item.

    Vectors (wind, slope direction) turn with the picture. The cached images of an angle's sine and cosine cannot
    be turned, so those terrain images are left out (zero, as for a landscape without them) in all but the first view.

    Args:
        item: arrays as `FireSteps` makes them.
        view: 0 to 7; bit 0 mirrors east-west, bit 1 north-south, bit 2 swaps the axes.
        vectors: pairs of `terrain_pixels` channels that are an east and a north component.
        angles: channels of `terrain_patches` that show an angle.
    """
    if view == 0:
        return item
    grids = {"frame_patches": (1, 2), "terrain_patches": (1, 2), "fire_pixels": (1, 2), "terrain_pixels": (1, 2),
             "categories": (1, 2), "target": (0, 1)}  # fmt: skip
    turned = dict(item)
    for key, (y, x) in grids.items():
        values = item[key]
        values = np.flip(values, x) if view & 1 else values
        values = np.flip(values, y) if view & 2 else values
        turned[key] = np.swapaxes(values, y, x).copy() if view & 4 else values.copy()
    turned["terrain_patches"][list(angles)] = 0
    turned["wind"] = np.stack(_turn_vector(item["wind"][:, 0], item["wind"][:, 1], view), 1)
    for east, north in vectors:
        pair = _turn_vector(turned["terrain_pixels"][east], turned["terrain_pixels"][north], view)
        turned["terrain_pixels"][[east, north]] = np.stack(pair)
    return turned


def _turn_vector(east: np.ndarray, north: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
    """East and north components after the view; rows run south, so swapping the axes is (e, n) -> (-n, -e)."""
    east = -east if view & 1 else east
    north = -north if view & 2 else north
    return (-north, -east) if view & 4 else (east, north)


def whole_frames_at_once(device: torch.device) -> int:
    """Whole frames that pass the network together: 8 on a GPU, 1 on a CPU.

    Tensors larger than the allocator keeps for reuse are given back to the system and cleared anew in every layer: four
    frames of 400 x 400 at once took three times as long a frame as one.
    """
    return 1 if device.type == "cpu" else 8


class GridBatches(Sampler[list[int]]):
    """Batches of items that share a patch grid, so that landscapes of different window sizes train together.

    Args:
        sizes: patch grid of every item.
        batch_size: items a batch.
        shuffle: a new order in every epoch (by torch's random state), batches of different grids mixed.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], batch_size: int, shuffle: bool):
        self.batch_size, self.shuffle = batch_size, shuffle
        self.set_sizes(sizes)

    def set_sizes(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Serve other items from the next epoch on."""
        self.groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, size in enumerate(sizes):
            self.groups[size].append(index)

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self.groups.values())

    def __iter__(self) -> Iterator[list[int]]:
        batches = []
        for group in self.groups.values():
            order = torch.randperm(len(group)).tolist() if self.shuffle else range(len(group))
            items = [group[n] for n in order]
            batches += [items[n : n + self.batch_size] for n in range(0, len(items), self.batch_size)]
        for n in torch.randperm(len(batches)).tolist() if self.shuffle else range(len(batches)):
            yield batches[n]


def training_terrain(fires: xr.Dataset, split: dict[str, str]) -> list[int]:
    """Terrain windows of the training fires, on which the normaliser is fitted."""
    chosen = [split.get(str(fire_id)) == "train" for fire_id in fires.fire_id.values]
    return sorted(set(fires.terrain_index.values[chosen].tolist()))
