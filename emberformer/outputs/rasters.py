"""Rasters: Cloud-Optimised GeoTIFFs of the probability, the newest fire and the arrival time.

One file a lead, not one file with a band a lead: QGIS gives each layer a time range of its own (since 3.14; time ranges
of bands came later), ArcGIS makes time-enabled mosaics of single-band files, a file can be sent by itself, and its name
says when it is valid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from rasterio.io import MemoryFile

from emberformer.outputs.arrival import arrival_time
from emberformer.outputs.fire_forecast import UNKNOWN, north_up
from emberformer.outputs.grid import Grid, grid_of
from emberformer.outputs.times import iso

BLOCK = 256  # pixels a side; rasters from this size on have overviews


class Band(NamedTuple):
    """What a raster holds: values [y, x], their no-data value, unit and meaning, and how overviews sum them up."""

    values: np.ndarray
    nodata: float
    unit: str
    meaning: str
    overviews: str


def write_probability(forecast: xr.Dataset, lead: int, path: Path) -> None:
    """Probability of being burned by a lead's valid time: float32, NaN = unknown, overviews are means.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        lead: 1 to k.
        path: file to write.
    """
    values = north_up(forecast).probability.sel(lead=lead).values
    meaning = "probability of being burned by valid_time"
    write_band(path, Band(values, np.nan, "1", meaning, "AVERAGE"), forecast, _lead_tags(forecast, lead))


def write_percent(forecast: xr.Dataset, lead: int, path: Path) -> None:
    """The same in whole percent: uint8 0 to 100, 255 = unknown, for software that knows no floating point."""
    probability = north_up(forecast).probability.sel(lead=lead).values
    percent = np.where(np.isnan(probability), UNKNOWN, np.rint(100 * np.nan_to_num(probability))).astype(np.uint8)
    meaning = "probability of being burned by valid_time, rounded"
    write_band(path, Band(percent, UNKNOWN, "%", meaning, "AVERAGE"), forecast, _lead_tags(forecast, lead))


def write_burned(forecast: xr.Dataset, path: Path) -> None:
    """The newest observed fire: uint8 1 burned, 0 not, 255 unknown; overviews are majorities."""
    values = north_up(forecast).burned.values
    band = Band(values, UNKNOWN, "1", "burned at init_time: 1 burned, 0 not", "MODE")
    write_band(path, band, forecast, {"valid_time": iso(forecast.init_time.values), "lead": "0"})


def write_arrival_time(forecast: xr.Dataset, threshold: float, path: Path) -> None:
    """Arrival time (`emberformer.outputs.arrival`): float32 s since init_time, NaN = not reached by the last lead.

    Overviews take one pixel of several, for a mean would let the fire arrive where it does not.
    """
    values = arrival_time(north_up(forecast), threshold).values
    meaning = "seconds from init_time until the probability of being burned reaches the threshold"
    band = Band(values, np.nan, "s", meaning, "NEAREST")
    tags = {"valid_time": iso(forecast.valid_time.values[-1]), "threshold": f"{threshold:g}"}
    write_band(path, band, forecast, tags)


def write_band(path: Path, band: Band, forecast: xr.Dataset, tags: Mapping[str, str]) -> None:
    """Write a raster of a forecast, with its tags and these.

    Made in memory, for GDAL does not say that a disk is full.

    Args:
        path: file to write.
        band: its values, first row in the north.
        forecast: see `emberformer.outputs.fire_forecast`.
        tags: what else the file says.
    """
    grid = grid_of(forecast)
    with MemoryFile() as memory:
        _fill(memory, band, grid, _common_tags(forecast) | dict(tags))
        path.write_bytes(memory.read())


def _fill(memory: MemoryFile, band: Band, grid: Grid, tags: Mapping[str, str]) -> None:
    with memory.open(
        driver="COG",
        height=grid.shape[0],
        width=grid.shape[1],
        count=1,
        dtype=str(band.values.dtype),
        nodata=band.nodata,
        crs=None if grid.crs is None else grid.crs.to_wkt(),
        transform=grid.transform,
        compress="DEFLATE",
        predictor="YES",
        blocksize=BLOCK,
        overview_resampling=band.overviews,
    ) as raster:
        raster.write(band.values, 1)
        raster.set_band_description(1, band.meaning)
        raster.units = (band.unit,)
        raster.update_tags(**tags, quantity=band.meaning, units=band.unit)


def _common_tags(forecast: xr.Dataset) -> dict[str, str]:
    init_time = iso(forecast.init_time.values)
    return {
        "TIFFTAG_IMAGEDESCRIPTION": str(forecast.attrs["title"]),
        "TIFFTAG_SOFTWARE": "EmberFormer",
        "TIFFTAG_DATETIME": init_time.rstrip("Z").replace("-", ":").replace("T", " "),
        "fire_id": str(forecast.attrs["fire_id"]),
        "method": str(forecast.attrs["method"]),
        "model_hash": str(forecast.attrs["model_hash"]),
        "init_time": init_time,
        "provenance": json.dumps(forecast.attrs["provenance"]),
    }


def _lead_tags(forecast: xr.Dataset, lead: int) -> dict[str, str]:
    return {"valid_time": iso(forecast.valid_time.sel(lead=lead).values), "lead": str(lead)}
