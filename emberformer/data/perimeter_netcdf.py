"""Perimeters as NetCDF: masks at times, or one raster of arrival times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401  (gives `.rio` to data sets)
import xarray as xr
from rasterio.crs import CRS

from emberformer.data.fire_grid import Grid
from emberformer.data.fire_history import Observations
from emberformer.data.perimeter_rasters import burned_where_positive, check_unburned
from emberformer.data.perimeter_times import check_increasing
from emberformer.data.weather import FIRST_TIME
from emberformer.errors import InputError

UNITS = {"s": 1, "second": 1, "seconds": 1, "min": 60, "minute": 60, "minutes": 60, "h": 3600, "hour": 3600,
         "hours": 3600}  # fmt: skip
AXES = {"y": ("y", "lat", "latitude", "northing"), "x": ("x", "lon", "longitude", "easting")}
EXPECTED = "burned (time, y, x), or arrival_time (y, x)"


def read_netcdf_perimeters(path: Path, start: np.datetime64 | None, minutes: float) -> Observations:
    """Perimeters of a NetCDF file.

    `burned (time, y, x)`: above 0 is burned, NaN is unknown. `arrival_time (y, x)`: times (units such as `minutes since
    2024-01-31 12:00`), or durations (units s, min, h) since `start`; NaN = not burned. Observations of the latter end
    with the last arrival and are `minutes` apart.

    Args:
        path: the file.
        start: time from which durations count, or None.
        minutes: length of a step.

    Raises:
        InputError: the file is unreadable, holds neither variable, or a time is missing.
    """
    try:
        with xr.open_dataset(path, decode_coords="all", decode_timedelta=False) as content:
            content = content.load()
    except (OSError, ValueError, RuntimeError) as error:  # what xarray and the libraries under it raise
        raise InputError(path, str(error), f"a NetCDF file with {EXPECTED}", "supply the file again") from error
    content, grid = _place(path, content)
    if "burned" in content and content["burned"].ndim == 3 and {"y", "x"} < set(content["burned"].dims):
        return _masks(path, content["burned"], grid, start)
    if "arrival_time" in content and set(content["arrival_time"].dims) == {"y", "x"}:
        return _arrivals(path, content["arrival_time"], grid, start, minutes)
    found = ", ".join(f"{name} {tuple(map(str, array.dims))}" for name, array in content.data_vars.items())
    raise InputError(path, found or "no variables", EXPECTED, "rename the variable (ncrename) or its dimensions")


def _place(path: Path, content: xr.Dataset) -> tuple[xr.Dataset, Grid | None]:
    """The data set with axes y (from north) and x, and its grid; None where it has neither coordinates nor a CRS."""
    names = {str(name).lower(): name for name in content.dims}
    for axis, aliases in AXES.items():
        found = [names[alias] for alias in aliases if alias in names]
        if not found:
            raise InputError(path, f"dimensions {sorted(map(str, content.dims))}", EXPECTED, "rename the dimensions")
        content = content.rename({found[0]: axis}) if found[0] != axis else content
    degrees = "lat" in names or "latitude" in names or content.get("y", xr.DataArray(0)).attrs.get("units") in (
        "degrees_north", "degree_north", "degrees",
    )  # fmt: skip
    crs = content.rio.crs or (CRS.from_epsg(4326) if degrees else None)
    if not {"x", "y"} <= set(content.coords):
        if crs is None:
            return content, None
        remedy = "write coordinates x and y of the pixel centres into the file"
        raise InputError(path, "a coordinate reference system, but no coordinates x and y", "both", remedy)
    if crs is None:
        remedy = "write the CRS into the file (rioxarray: data.rio.write_crs('EPSG:...'))"
        raise InputError(path, "coordinates without a coordinate reference system", "a CF grid_mapping", remedy)
    content = content.sortby("y", ascending=False).sortby("x").rio.set_spatial_dims("x", "y")
    for axis in ("x", "y"):
        gaps = np.diff(content[axis].values)
        if not len(gaps) or not np.allclose(gaps, gaps.mean(), rtol=1e-3):
            raise InputError(f"{path}, coordinate {axis}", "uneven steps", "a regular grid", "regrid the file")
    return content, Grid(CRS.from_user_input(crs), content.rio.transform(), content.sizes["y"], content.sizes["x"])


def _masks(path: Path, burned: xr.DataArray, grid: Grid | None, start: np.datetime64 | None) -> Observations:
    (axis,) = (name for name in burned.dims if name not in ("x", "y"))
    burned = burned.transpose(axis, "y", "x")
    where = f"{path}, coordinate {axis}"
    if axis not in burned.coords:
        remedy = "write the times of the frames into the file"
        raise InputError(where, "no such coordinate", "a time for each frame", remedy)
    time, dated = _times(where, burned[axis], start)
    check_increasing(time, [f"frame {number}" for number in range(len(time))], where)
    unknown = burned.encoding.get("_FillValue", burned.attrs.get("_FillValue"))
    values = np.ma.masked_equal(burned.values, unknown) if unknown is not None else np.ma.array(burned.values)
    masks = np.stack([burned_where_positive(frame) for frame in values])
    check_unburned(f"{path}, variable burned", list(masks), "ncatted -a _FillValue,burned,d,, FILE")
    return Observations(str(path), masks, time, dated, grid)


def _arrivals(
    path: Path, arrival: xr.DataArray, grid: Grid | None, start: np.datetime64 | None, minutes: float
) -> Observations:
    where = f"{path}, variable arrival_time"
    arrival = arrival.transpose("y", "x")
    known = arrival.notnull().values
    if not known.any():
        raise InputError(where, "no pixel with an arrival time", "a fire", "supply the raster of a fire")
    times, dated = _times(where, xr.DataArray(arrival.values[known], attrs=arrival.attrs), start)
    step = np.timedelta64(round(60 * minutes), "s")
    count = int((times.max() - times.min()) // step) + 1
    moments = times.max() - np.arange(count - 1, -1, -1) * step
    masks = np.zeros((count, *known.shape), np.uint8)
    masks[:, known] = times <= moments[:, None]
    return Observations(str(path), masks, moments, dated, grid)


def _times(where: str, values: xr.DataArray, start: np.datetime64 | None) -> tuple[np.ndarray, bool]:
    """Times as datetime64[s], and whether they are dated."""
    if values.dtype.kind == "M":
        if values.isnull().any():
            raise InputError(where, "a time that is missing", "a time for each frame", "fill it in")
        return values.values.astype("datetime64[s]"), True
    unit = str(values.attrs.get("units", "")).strip()
    if unit not in UNITS or not np.isfinite(values.values.astype(float)).all():
        remedy = "write the attribute `units` into the file, and fill in what is missing"
        raise InputError(
            where, f"units {unit!r}", "units such as 'minutes since 2024-01-31 12:00', or s, min, h", remedy
        )
    seconds = np.round(values.values.astype(float) * UNITS[unit]).astype("timedelta64[s]")
    return (FIRST_TIME if start is None else start) + seconds, start is not None
