"""A landscape: the two stores of one data set, row for row, and its normalised terrain."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from emberformer.data.fires import UNKNOWN, bands_of, observed, open_fires, stays_burned
from emberformer.data.normalise import TerrainNormaliser, conditions_as_terrain
from emberformer.data.texts import Texts
from emberformer.errors import InputError
from emberformer.features.channel_map import ChannelMap
from emberformer.features.encoding import Encoding
from emberformer.features.hidden import HiddenReader
from emberformer.features.plan import cut
from emberformer.features.reading import Cut, FeatureReader, LayerReader, MeansReader, Memory
from emberformer.features.rendering import render_terrain
from emberformer.features.shape import AXES, Axis
from emberformer.features.store import open_features
from emberformer.prior_forecasts import PriorForecasts

TERRAIN_MEMORY = 64  # windows of one data set whose normalised terrain stays in memory
FRAME_MEMORY = 2**31  # bytes of a landscape's packed frames, and of its targets; twice that where pixels are unknown
NUMBERS = itertools.count()  # every opened landscape has its own


class Landscape:
    """The two stores of one data set, and its normalised terrain.

    Where features were cut to a window around each fire, everything here is of that window.

    Args:
        name: name of the data set.
        fires_path: fires store.
        features_location: feature store, a folder or a URL.
        normaliser: fitted on training fires.
        conditions: the same of the conditions; None: the network is told none.
        channels: terrain images in the order the model knows them; one that this landscape lacks is zero.
        key: key of the feature store that the settings ask for; by default the one in its name.
        memory: 'disk', 'ram' or 'device': where the features stay, see `FeatureReader`.
        device: with `memory='device'`.
        foresees_wind: the wind of coming steps is known, as from a weather forecast; else that of the newest frame is.

    Raises:
        InputError: the feature store was made from other fires.
    """

    def __init__(
        self,
        name: str,
        fires_path: Path,
        features_location: Path | str,
        normaliser: TerrainNormaliser,
        channels: Sequence[str],
        key: str | None = None,
        memory: Memory = "disk",
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a device is a constant)
        foresees_wind: bool = True,
        conditions: TerrainNormaliser | None = None,
    ):
        self.foresees_wind = foresees_wind
        self.texts: Texts | None = None  # what is told of the fires in words, where an ensemble is given it
        self.prior: PriorForecasts | None = None  # a network's forecasts, where an ensemble learns from them
        self.name, self.normaliser, self.number = name, normaliser, next(NUMBERS)
        self.features_location, self.device = features_location, device
        self.memory: Memory = memory
        self.fires = open_fires(fires_path)
        self.stays_burned = stays_burned(self.fires)
        features = open_features(features_location, key)
        if features.attrs["fires_content_digest"] != self.fires.attrs["content_digest"]:
            raise InputError(
                features_location, "features of other fires than the fires store holds now",
                f"features of {fires_path}", "run `snakemake extract_features`",
            )  # fmt: skip
        self.pixels = int(features.attrs["pixels_per_patch"])
        self.window: int | None = features.attrs["window"]
        self.origin = np.stack([features.window_y.values, features.window_x.values], 1)
        self.grid = (features.sizes["patch_y"], features.sizes["patch_x"])
        self.row_start = self.fires.row_start.values
        self.row_size = self.fires.row_size.values
        self.frame_of = features.frame_of.values
        self.terrain_row = features.terrain_index.values
        self.terrain_index = self.fires.terrain_index.values
        own = {str(band): number for number, band in enumerate(features.band.values)}
        self.channel_order = [own.get(channel) for channel in channels]
        self.mean_channels = list(map(str, features.channel.values))
        self.units = dict(zip(map(str, self.fires.band.values), map(str, self.fires.band_unit.values), strict=True))
        self.conditions = conditions
        told = [*normaliser.channels, *(conditions.channels if conditions else ())]
        self.vectors = [(n, n + 1) for n, channel in enumerate(told) if channel.endswith(".east")]
        self.terrain_vectors = [of for of in self.vectors if of[1] < len(normaliser.channels)]
        self._conditions = conditions_as_terrain(self.fires)
        self.wind = self.fires.weather.sel(weather_variable=["wind_u", "wind_v"]).values
        of_fires = self.fires.attrs
        self.resolution = np.array([of_fires["cell_m"], of_fires["seconds_per_frame"]], np.float32)
        blank = features.blank.values if "blank" in features else None
        self.identity = features.attrs
        self.encoding = _encoding(features)
        self.frame_reader, self.terrain_reader = (
            FeatureReader(features_location, axis, features.attrs, blank, memory, device)
            for axis in ("frame", "terrain")
        )
        self.features = self.frame_reader.shape[-1]
        self._hidden: dict[int, HiddenReader] = {}
        self._terrain: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._images: OrderedDict[int, np.ndarray] = OrderedDict()
        self._frames, self._targets = (PackedFrames(self.fires.sizes["y"], self.fires.sizes["x"]) for _ in range(2))

    @property
    def content(self) -> str:
        """Digest of the fires."""
        return str(self.fires.attrs["content_digest"])

    @cached_property
    def layer_reader(self) -> LayerReader:
        """Tokens of hidden layers, opened when a network asks for them.

        Raises:
            InputError: the store has none.
        """
        return LayerReader(self.features_location, self.identity, self.memory, self.device)

    @cached_property
    def frame_cls(self) -> Float[np.ndarray, "frame D"]:
        """CLS tokens of all frames of the feature store."""
        return open_features(self.features_location).frame_cls.values.astype(np.float32)

    @cached_property
    def patch_valid(self) -> Bool[np.ndarray, "Gy Gx"]:
        """Patches that hold a real pixel."""
        return open_features(self.features_location).frame_valid.values > 0

    @cached_property
    def burned_reader(self) -> MeansReader:
        """Shares of patches that burn."""
        return MeansReader(self.features_location, "frame_burned", self.memory)

    @cached_property
    def mean_reader(self) -> MeansReader:
        """Terrain means of patches."""
        return MeansReader(self.features_location, "terrain_mean", self.memory)

    def terrain(self, fire: int) -> tuple[np.ndarray, np.ndarray]:
        """Normalised terrain channels and categories of a fire's window, kept while they are used."""
        index = int(self.terrain_index[fire])
        if index not in self._terrain:
            self._terrain[index] = self.normaliser.apply(self.fires, index)
            if len(self._terrain) > TERRAIN_MEMORY:
                self._terrain.popitem(last=False)
        self._terrain.move_to_end(index)
        channels, categories = self._terrain[index]
        return self.cut(channels, fire), self.cut(categories, fire)

    def rasters(self, fire: int, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Normalised channels [K H W] and categories [Q H W] of a fire's terrain, and of the conditions of a frame.

        Args:
            fire: number of the fire.
            row: of the frame in the fires store.
        """
        channels, categories = self.terrain(fire)
        if self.conditions is None:
            return channels, categories
        now = self.conditions.of_values(self.cut(self._conditions.terrain[row].values, fire), self._conditions)
        return tuple(np.concatenate(both) for both in zip((channels, categories), now, strict=True))  # type: ignore[return-value]

    def terrain_images(self, fire: int) -> np.ndarray:
        """Rendered terrain [C H W], or [C 3 H W], of a fire's window, in the model's order of channels.

        It is kept while it is used.
        """
        row = int(self.terrain_row[fire])
        if row not in self._images:
            terrain = self.cut(self.fires.terrain[int(self.terrain_index[fire])].values, fire)
            grey = render_terrain(terrain, bands_of(self.fires)[1])
            own = ChannelMap.of(self.identity).apply(grey)
            blank = np.zeros_like(own[0])
            self._images[row] = np.stack([blank if number is None else own[number] for number in self.channel_order])
            if len(self._images) > TERRAIN_MEMORY:
                self._images.popitem(last=False)
        self._images.move_to_end(row)
        return self._images[row]

    def hidden_reader(self, block: int) -> HiddenReader:
        """Reader of the frames' tokens after a block.

        Raises:
            InputError: the store does not hold them.
        """
        if block not in self._hidden:
            self._hidden[block] = HiddenReader(self.features_location, self.identity, block, self.memory, self.device)
        return self._hidden[block]

    def burned(self, fire: int, rows: range) -> np.ndarray:
        """Burned masks [n, H, W] (0, 1, 255 = unknown) of frames of a fire, by their rows in the fires store."""
        found = {row: self._frames[row] for row in rows if row in self._frames}
        missing = [row for row in rows if row not in found]
        if missing:
            read = self.fires.burned[missing[0] : missing[-1] + 1].values
            for row, values in zip(range(missing[0], missing[-1] + 1), read, strict=True):
                self._frames.keep(row, values)  # which may throw out another of these rows
                found[row] = values
        return self.cut(np.stack([found[row] for row in rows]), fire)

    def target(self, fire: int, row: int) -> np.ndarray:
        """What is to be forecast [H, W]: the source's own target, else the burned mask of the row."""
        if self.fires.attrs["target_kind"] != "cumulative":
            return self.burned(fire, range(row, row + 1))[0]
        if row not in self._targets:
            self._targets.keep(row, observed(self.fires, row))
        return self.cut(self._targets[row], fire)

    def wind_ahead(self, fire: int, row: int, lead: int) -> Float[np.ndarray, " 2"]:
        """Vector mean (u, v) of the wind from a frame of a fire until `lead` frames later, over the steps where it is
        known; m s-1, NaN where it is known in none.
        """
        end = int(self.row_start[fire]) + int(self.row_size[fire])
        winds = self.wind[row : min(row + (lead if self.foresees_wind else 1), end)]
        known = winds[np.isfinite(winds).all(1)]
        return known.mean(0) if len(known) else winds[0]

    def cut(self, values: np.ndarray, fire: int) -> np.ndarray:
        """A fire's window of rasters [..., H, W]."""
        return cut(values, (int(self.origin[fire][0]), int(self.origin[fire][1])), self.window)

    def read_terrain(self, cuts: Sequence[Cut], outs: Sequence[Tensor]) -> None:
        """Terrain tokens [C, Gy', Gx', D] of fires, in the model's order of channels."""
        if self.channel_order == list(range(self.terrain_reader.shape[1])):
            self.terrain_reader.read(cuts, [out[None] for out in outs])
            return
        for wanted, out in zip(cuts, outs, strict=True):
            own = out.new_empty((1, self.terrain_reader.shape[1], *out.shape[1:]))
            self.terrain_reader.read([wanted], [own])
            for channel, number in enumerate(self.channel_order):
                out[channel] = 0 if number is None else own[0, number]


def _encoding(features: xr.Dataset) -> Encoding:
    """How a store keeps tokens."""
    blank = torch.from_numpy(features.blank.values.copy()) if "blank" in features else None
    named: dict[Axis, str] = {axis: f"{axis}_directions" for axis in AXES}
    basis: dict[Axis, Tensor] = {
        axis: torch.from_numpy(features[name].values) for axis, name in named.items() if name in features
    }
    return Encoding(features.attrs["dtype"], blank, basis)


class PackedFrames:
    """Burned masks in memory, a bit a pixel (two where a pixel is unknown), the least lately used thrown out first.

    A mask of 400 x 400 takes 20 kB, so that a hundred thousand frames stay in memory; reading one from the store takes
    a hundred times as long as unpacking it.
    """

    def __init__(self, height: int, width: int):
        self.shape = (height, width)
        self.most = FRAME_MEMORY // (height * width // 8 + 1)
        self._packed: OrderedDict[int, tuple[np.ndarray, np.ndarray | None]] = OrderedDict()

    def __contains__(self, row: int) -> bool:
        return row in self._packed

    def keep(self, row: int, values: np.ndarray) -> None:
        """Remember the mask of a row."""
        unknown = values == UNKNOWN
        self._packed[row] = (np.packbits(values == 1), np.packbits(unknown) if unknown.any() else None)
        if len(self._packed) > self.most:
            self._packed.popitem(last=False)

    def __getitem__(self, row: int) -> np.ndarray:
        self._packed.move_to_end(row)
        burned, unknown = self._packed[row]
        count = self.shape[0] * self.shape[1]
        values = np.unpackbits(burned, count=count).reshape(self.shape)
        if unknown is not None:
            values[np.unpackbits(unknown, count=count).reshape(self.shape).astype(bool)] = UNKNOWN
        return values
