"""The fires store: all fires of one data set in one Zarr store, opened with one xarray call.

    burned (frame, y, x)             uint8 0/1 burned by this frame, 255 unknown; with fire_kind 'active' burning at it
    isochrone (frame, y, x)          uint8, the source's own target, only where it differs from `burned`
    terrain (terrain, band, y, x)    float32, NaN = no data; one entry a distinct window
    weather (frame, weather_variable) float32, wind_u and wind_v first; row k drives the step k -> k + 1
    conditions (frame, condition, y, x) float32, NaN = no data; rasters that change, where the source has some
    on frame                         fire_index, step, valid_time, frame_digest
    on fire                          fire_id, row_start, row_size, terrain_index, ground_index, window_row, window_col,
                                     fire_digest
    on ground                        crs_wkt, transform (ground, coefficient): where the ground of a fire lies
    on terrain, band, condition      terrain_digest; band, band_kind, band_unit; condition, condition_kind, ..._unit

All fires of a store share one window size; a smaller one is padded at the right and bottom with what is unknown. Time
is ragged: the frames of a fire are the contiguous rows `row_start` to `row_start + row_size` of the `frame` axis (CF
conventions, contiguous ragged array).
Every reader fills a `FireSource`; `emberformer.data.fires_writing` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import rioxarray  # noqa: F401  (gives `.rio` to data sets)
import xarray as xr
from jaxtyping import Float32, UInt8
from rasterio import Affine

from emberformer.errors import InputError

UNKNOWN = 255  # in `burned` and `isochrone`: not observed
BandKind = Literal["continuous", "categorical", "binary", "angle"]
TargetKind = Literal["same_as_burned", "cumulative", "increment"]
FireKind = Literal["cumulative", "active"]


class Window(NamedTuple):
    """Part of a ground, in pixels; `row` and `column` are those of the upper left pixel."""

    row: int
    column: int
    height: int
    width: int
    ground: int = 0


class Frame(NamedTuple):
    """What is burned at one time: 0 or 1, 255 = unknown.

    Args:
        burned: by this time, or burning at it (`FireSource.fire_kind`).
        isochrone: the source's own target, None if it has none.
        conditions: NaN = no data, None if the source has none.
    """

    burned: UInt8[np.ndarray, "y x"]
    isochrone: UInt8[np.ndarray, "y x"] | None
    conditions: Float32[np.ndarray, "condition y x"] | None = None


@dataclass(frozen=True)
class Band:
    """One band of the terrain or of the conditions, as it stands in the store."""

    name: str
    kind: BandKind
    unit: str


@dataclass(frozen=True)
class Fire:
    """Everything about a fire but its pixels.

    Args:
        fire_id: the source's own name, such as "sequence_001".
        window: where its frames lie on their ground.
        weather: SI [frame, weather_variable], wind_u and wind_v first; row k drives the step k -> k + 1; NaN = none.
        valid_time: time of each frame, datetime64[s] [frame].
    """

    fire_id: str
    window: Window
    weather: Float32[np.ndarray, "frame weather_variable"]
    valid_time: np.ndarray


@dataclass(frozen=True)
class Ground:
    """What fires burn on: one raster with its place on Earth.

    Args:
        crs_wkt: coordinate reference system, "" = unknown.
        transform: affine transform (a, b, c, d, e, f) of the whole raster.
        terrain: reads a window as float32 [band, y, x], NaN = no data.
    """

    crs_wkt: str
    transform: tuple[float, float, float, float, float, float]
    terrain: Callable[[Window], Float32[np.ndarray, "band y x"]]


@dataclass(frozen=True)
class FireSource:
    """A data set as its reader found it: tables in memory, pixels as streams.

    Args:
        dataset: name of the data set.
        fires: all fires, in the order in which they are stored.
        frames: the frames of all fires, one after another; read once, so it may be a generator.
        bands: bands of the terrain, the same on all grounds.
        grounds: what the fires burn on; `Window.ground` is a number among them.
        weather_variables: name -> unit, wind_u and wind_v first.
        cell_m: side of a pixel in metres.
        seconds_per_frame: time between two frames.
        closes_gaps: whether longer times between two frames are wanted.
        fire_kind: frames show what has burned by then (cumulative), or what burns at the time and may go out (active).
        conditions: bands of the frames' own rasters, such as daily weather; those of frame k are known when the step
            from k to k + 1 is forecast.
        fires_skipped: fire_id -> why the fire is not in the store.
        provenance: what the store was made from; JSON content, no times, so that equal sources make equal stores.
    """

    dataset: str
    fires: tuple[Fire, ...]
    frames: Iterable[Frame]
    bands: tuple[Band, ...]
    grounds: tuple[Ground, ...]
    weather_variables: Mapping[str, str]
    cell_m: float
    seconds_per_frame: float
    closes_gaps: bool = False
    fire_kind: FireKind = "cumulative"
    conditions: tuple[Band, ...] = ()
    fires_skipped: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)

    def terrain(self, window: Window) -> Float32[np.ndarray, "band y x"]:
        """Terrain of a window of one of the grounds."""
        return self.grounds[window.ground].terrain(window)


def open_fires(path: str | Path) -> xr.Dataset:
    """Open a fires store; pixels are read when they are asked for.

    Args:
        path: the store, `Layout.fires(dataset)`.

    Returns:
        Data set with the variables and coordinates named at the top of this file; attributes dataset, cell_m (m),
        seconds_per_frame (s), fire_kind, target_kind, isochrone_check, shrinkage_check, fires_skipped, provenance,
        content_digest.

    Raises:
        InputError: the store is missing or is no fires store.
    """
    remedy = "run `emberformer ingest` for this data set"
    if not (Path(path) / "zarr.json").is_file():
        raise InputError(path, "no store", "a fires store", remedy)
    seconds = xr.coders.CFDatetimeCoder(time_unit="s")
    fires = xr.open_dataset(path, engine="zarr", consolidated=False, decode_times=seconds)
    needed = {"burned", "terrain", "weather", "row_start", "ground_index"}
    if not needed <= set(fires.variables) or "content_digest" not in fires.attrs:
        found = f"variables {sorted(map(str, fires.variables))}"
        raise InputError(path, found, f"{', '.join(sorted(needed))} and an attribute content_digest", remedy)
    return fires


def fire_position(fires: xr.Dataset, fire_id: str) -> int:
    """Position of a fire on the `fire` axis.

    Raises:
        InputError: there is no such fire.
    """
    found = np.flatnonzero(fires["fire_id"].values == fire_id)
    if not found.size:
        raise InputError(
            f"fire {fire_id!r} of data set {fires.attrs['dataset']!r}",
            f"{fires.sizes['fire']} fires, none of this name",
            f"a name such as {fires['fire_id'].values[0]!r}",
            "take a name from the coordinate fire_id of the fires store",
        )
    return int(found[0])


def fire_rows(fires: xr.Dataset, fire_id: str) -> slice:
    """Rows of a fire on the `frame` axis, first frame first: `fires.burned[fire_rows(fires, "sequence_001")]`."""
    fire = fire_position(fires, fire_id)
    start = int(fires["row_start"].values[fire])
    return slice(start, start + int(fires["row_size"].values[fire]))


def observed(fires: xr.Dataset, row: int) -> UInt8[np.ndarray, "y x"]:
    """What a forecast valid at this frame is scored against.

    The source's isochrone where it is cumulative (`target_kind`), joined with what had burned one frame before, for
    burned ground does not un-burn; else `burned`, which holds whatever an increment adds.

    Args:
        fires: an open fires store.
        row: position on the `frame` axis.

    Returns:
        uint8 [y, x]: 1 burned, 0 not, 255 unknown.
    """
    burned, isochrone = fires["burned"], fires.get("isochrone")
    if isochrone is None or fires.attrs["target_kind"] != "cumulative":
        return burned[row].values
    target = isochrone[row].values
    if int(fires["step"][row]) == 0:
        return target
    return np.where(burned[row - 1].values == 1, np.uint8(1), target)


def stays_burned(fires: xr.Dataset) -> bool:
    """Whether burned ground stays burned, or fires go out (`fire_kind`)."""
    return fires.attrs["fire_kind"] == "cumulative"


def bands_of(fires: xr.Dataset) -> tuple[list[str], list[str]]:
    """Names and kinds of the bands of the terrain."""
    return list(map(str, fires["band"].values)), list(map(str, fires["band_kind"].values))


def held(fires: xr.Dataset, row: int) -> UInt8[np.ndarray, "y x"]:
    """Pixels that a forecast from a frame has no say in: 1 burned already, for good; 255 unknown; 0 open to forecast.

    Where fires go out, every pixel is open: what burns may burn on or not, and what was not seen may burn.
    """
    burned = fires["burned"][row].values
    return burned if stays_burned(fires) else np.zeros_like(burned)


def fire_transform(fires: xr.Dataset, fire_id: str) -> Affine:
    """Affine transform (a, b, c, d, e, f) of a fire's window, in units of the CRS.

    The pixel of row y and column x (the store's coordinates) has its centre at the map coordinates
    a (x + 0.5) + c and e (y + 0.5) + f; b = d = 0, for rasters are north-up.
    """
    fire = fire_position(fires, fire_id)
    row, column, ground = (int(fires[name].values[fire]) for name in ("window_row", "window_col", "ground_index"))
    a, b, c, d, e, f = fires["transform"].values[ground].tolist()
    return Affine(a, b, c + a * column, d, e, f + e * row)


def fire_crs(fires: xr.Dataset, fire_id: str) -> str:
    """Coordinate reference system of a fire's ground as WKT, "" = unknown."""
    ground = int(fires["ground_index"].values[fire_position(fires, fire_id)])
    return str(fires["crs_wkt"].values[ground])


def fire_on_map(fires: xr.Dataset, fire_id: str) -> xr.Dataset:
    """One fire as a georeferenced data set, ready for `.plot()`, `.rio.to_raster()` and GIS.

    Returns:
        `burned` (frame, y, x), `isochrone` and `conditions` (frame, condition, y, x) if there are some, `terrain`
        (band, y, x) and `weather` (frame, weather_variable); y and x are map coordinates of the pixel centres, in units
        of the CRS.
    """
    fire, transform = fire_position(fires, fire_id), fire_transform(fires, fire_id)
    terrain, ground = (int(fires[name].values[fire]) for name in ("terrain_index", "ground_index"))
    one = fires.isel(fire=fire, frame=fire_rows(fires, fire_id), terrain=terrain, ground=ground)
    if crs := fire_crs(fires, fire_id):
        one = one.rio.write_crs(crs)
    x = transform.c + transform.a * (fires["x"].values + 0.5)
    y = transform.f + transform.e * (fires["y"].values + 0.5)
    one = one.assign_coords(y=("y", y), x=("x", x)).rio.write_transform(transform)
    for axis in ("x", "y"):
        one[axis].attrs.update(standard_name=f"projection_{axis}_coordinate", long_name=f"{axis} of the pixel centre")
    return one
