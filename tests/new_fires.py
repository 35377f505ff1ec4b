"""New fires: a small growing one, written in each of the forms that it can have, and one that a store holds."""

from __future__ import annotations

import warnings
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import rasterio
import rioxarray  # noqa: F401  (gives `.rio` to data sets)
import xarray as xr
from PIL import Image
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import shapes
from shapely.geometry import shape

from emberformer.data.fires import Band, Fire, FireSource, Frame, Ground, Window

CRS = "EPSG:32719"
TRANSFORM = Affine(30, 0, 340_020, 0, -30, 6_160_020)
SHAPE = (24, 30)
START = np.datetime64("2024-01-31T12:00", "s")


def grow(frames: int = 4) -> np.ndarray:
    """Discs that grow by a pixel a frame: uint8 [frame, y, x]."""
    row, column = np.indices(SHAPE)
    distance = np.hypot(row - 11, column - 13)
    return np.stack([distance <= 2 + frame for frame in range(frames)]).astype(np.uint8)


def times(frames: int = 4, minutes: float = 30) -> np.ndarray:
    return START + (np.arange(frames) * minutes * 60).astype("timedelta64[s]")


def write_raster(path: Path, *bands, crs=CRS, transform=TRANSFORM, nodata=None, names=(), tags=(), units=(), **about):
    """A GeoTIFF of the bands; `tags` are dictionaries, one a band, `about` the tags of the file."""
    values = [np.asarray(band) for band in bands]
    profile = {"height": values[0].shape[0], "width": values[0].shape[1], "count": len(values)}
    profile |= {"dtype": values[0].dtype, "crs": crs, "transform": transform, "nodata": nodata}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # that is what some tests want
        raster = rasterio.open(path, "w", driver="GTiff", **profile)
    with raster:
        for number, band in enumerate(values, 1):
            raster.write(band, number)
        for number, name in enumerate(names, 1):
            raster.set_band_description(number, name)
        for number, content in enumerate(tags, 1):
            raster.update_tags(number, **content)
        if units:
            raster.units = units
        raster.update_tags(**about)
    return path


def write_frames(folder: Path, burned: np.ndarray, **options) -> Path:
    """A folder of numbered GeoTIFFs."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(burned):
        write_raster(folder / f"fire_{number:03d}.tif", frame, **options)
    return folder


def write_images(folder: Path, burned: np.ndarray) -> Path:
    """A folder of numbered grey PNGs."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(burned):
        Image.fromarray(frame * np.uint8(255)).save(folder / f"fire_{number:03d}.png")
    return folder


def outlines(burned: np.ndarray, time, transform=TRANSFORM, crs=CRS) -> geopandas.GeoDataFrame:
    """Polygons of each mask, with a column `time`."""
    found = [
        {"time": str(moment), "geometry": shape(polygon)}
        for frame, moment in zip(burned, time, strict=True)
        for polygon, _ in shapes(frame, frame == 1, transform=transform)
    ]
    return geopandas.GeoDataFrame(found, crs=crs)


def write_netcdf(path: Path, transform=TRANSFORM, crs: str | None = CRS, **arrays) -> Path:
    """Arrays of (dims, values[, attributes]) with the coordinates of the pixel centres."""
    x = transform.c + transform.a * (np.arange(SHAPE[1]) + 0.5)
    y = transform.f + transform.e * (np.arange(SHAPE[0]) + 0.5)
    content = xr.Dataset(arrays, coords={"x": x, "y": y} if crs else {})
    if crs:
        content = content.rio.write_crs(crs)
    content.to_netcdf(path, engine="h5netcdf")
    return path


def plane(transform: Affine, shape: tuple[int, int], rise_east: float, rise_north: float) -> np.ndarray:
    """Elevation of pixel centres on a plane in map coordinates, m; 1000 m at the fire's corner."""
    x = transform.c + transform.a * (np.arange(shape[1]) + 0.5) - TRANSFORM.c
    y = transform.f + transform.e * (np.arange(shape[0]) + 0.5) - TRANSFORM.f
    return (1000 + rise_east * x[None] + rise_north * y[:, None]).astype(np.float32)


def write_weather(path: Path, time, speed, direction, names=("datetime", "WS_kmh", "WD")) -> Path:
    table = pd.DataFrame(dict(zip(names, (np.asarray(time).astype(str), speed, direction), strict=True)))
    table.to_csv(path, index=False)
    return path


def source_of(fires: xr.Dataset, fire_id: str, frames: int) -> FireSource:
    """The first frames of a fire of a store, as a reader gives them."""
    number = fires.fire_id.values.tolist().index(fire_id)
    rows = slice(int(fires.row_start[number]), int(fires.row_start[number]) + frames)
    window = Window(int(fires.window_row[number]), int(fires.window_col[number]), fires.sizes["y"], fires.sizes["x"])
    terrain = fires.terrain[int(fires.terrain_index[number])].values
    wind = fires.weather.sel(weather_variable=["wind_u", "wind_v"]).values
    named = zip(fires.band.values, fires.band_kind.values, fires.band_unit.values, strict=True)
    return FireSource(
        dataset="new",
        fires=(Fire(fire_id, window, wind[rows], fires.valid_time.values[rows]),),
        frames=[Frame(burned, None) for burned in fires.burned[rows].values],
        bands=tuple(Band(str(name), kind, str(unit)) for name, kind, unit in named),
        grounds=(Ground(str(fires.crs_wkt.values[0]), tuple(fires["transform"].values[0]), lambda _: terrain),),
        weather_variables={"wind_u": "m s-1", "wind_v": "m s-1"},
        cell_m=fires.attrs["cell_m"],
        seconds_per_frame=fires.attrs["seconds_per_frame"],
    )  # fmt: skip


def winds_of(fires: xr.Dataset, fire_id: str, first: int, leads: int) -> np.ndarray:
    row = int(fires.row_start[fires.fire_id.values.tolist().index(fire_id)]) + first
    return fires.weather.sel(weather_variable=["wind_u", "wind_v"]).values[row : row + leads]
