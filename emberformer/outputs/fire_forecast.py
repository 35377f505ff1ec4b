"""A forecast of one fire: the data set that every writer of files is given.

probability (lead, y, x)  float32, burned by valid_time: 0 to 1, 1 where already burned, NaN where unknown,
                          never falling with lead
burned (y, x)             uint8 at init_time: 1 burned, 0 not, 255 unknown
wind_u, wind_v (lead)     float32, m/s towards east and north during the step up to valid_time, NaN = none
lead                      int, 1 to k
valid_time (lead)         datetime64[s], UTC
init_time ()              datetime64[s], UTC: time of the newest perimeter
y, x                      centres of the pixels in the CRS of the map, evenly spaced, rising or falling
spatial_ref ()            the CRS as rioxarray writes it; without it, y and x are metres
attributes                fire_id, method, model_hash, title, seconds_per_frame, provenance (JSON content)

Nothing here knows what made the forecast: a network, a simulator and a baseline are written alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401  (gives `.rio` to data sets)
import xarray as xr

from emberformer.errors import InputError

UNKNOWN = 255  # in `burned`: not observed
FORM = {
    "probability": (("lead", "y", "x"), "float32"),
    "burned": (("y", "x"), "uint8"),
    "wind_u": (("lead",), "float32"),
    "wind_v": (("lead",), "float32"),
}
ATTRIBUTES = ("fire_id", "method", "model_hash", "title", "seconds_per_frame", "provenance")
REMEDY = "see the top of emberformer/outputs/fire_forecast.py for the form"
EVEN = 0.01  # pixels that a centre may lie away from its place on an even grid


def fire_forecast(
    probability: np.ndarray,
    burned: np.ndarray,
    *,
    y: np.ndarray,
    x: np.ndarray,
    crs: object | None,
    init_time: np.datetime64,
    valid_time: np.ndarray,
    wind: np.ndarray | None = None,
    attributes: Mapping[str, object],
) -> xr.Dataset:
    """A forecast of one fire from arrays, checked.

    Args:
        probability: burned by `valid_time` [lead, y, x].
        burned: 0, 1, 255 = unknown, at `init_time` [y, x].
        y: map coordinates of the rows' centres [y].
        x: map coordinates of the columns' centres [x].
        crs: anything that names a CRS, such as "EPSG:32719" or WKT; None or "" = none.
        init_time: time of the newest perimeter, UTC.
        valid_time: time of each lead, UTC [lead].
        wind: m/s towards east and north [lead, 2]; None = none.
        attributes: `ATTRIBUTES`, all of them.

    Raises:
        InputError: the arrays do not fit the form at the top of this file.
    """
    leads = np.asarray(probability).shape[0]
    wind = np.full((leads, 2), np.nan) if wind is None else np.asarray(wind)
    forecast = xr.Dataset(
        {
            "probability": (FORM["probability"][0], np.asarray(probability, np.float32)),
            "burned": (FORM["burned"][0], np.asarray(burned, np.uint8)),
            "wind_u": ("lead", wind[:, 0].astype(np.float32)),
            "wind_v": ("lead", wind[:, 1].astype(np.float32)),
        },
        coords={
            "lead": np.arange(1, leads + 1, dtype=np.int32),
            "valid_time": ("lead", np.asarray(valid_time).astype("datetime64[s]")),
            "init_time": np.asarray(init_time).astype("datetime64[s]"),
            "y": np.asarray(y, float),
            "x": np.asarray(x, float),
        },
        attrs=dict(attributes),
    )
    if crs:
        forecast = forecast.rio.write_crs(crs)
    check_fire_forecast(forecast)
    return forecast


def open_fire_forecast(path: str | Path) -> xr.Dataset:
    """Read a forecast that `emberformer.outputs.netcdf` wrote: a NetCDF file or a Zarr store.

    Raises:
        InputError: there is none, or it does not fit the form at the top of this file.
    """
    wanted, engine = "a NetCDF file or a Zarr store of one forecast", "zarr" if Path(path).is_dir() else "h5netcdf"
    if not Path(path).exists():
        raise InputError(path, "no file", wanted, "check the path")
    try:
        seconds = xr.coders.CFDatetimeCoder(time_unit="s")
        with xr.open_dataset(path, engine=engine, decode_times=seconds, decode_coords="all") as opened:
            forecast = opened.load()
    except (OSError, ValueError) as error:
        raise InputError(path, f"{error}", wanted, "write it again") from error
    if isinstance(forecast.attrs.get("provenance"), str):
        forecast.attrs["provenance"] = json.loads(forecast.attrs["provenance"])
    check_fire_forecast(forecast, where=path)
    return forecast


def north_up(forecast: xr.Dataset) -> xr.Dataset:
    """The same forecast with its first row in the north and its first column in the west, as GIS expect rasters."""
    down = slice(None, None, 1 if forecast.y[0] > forecast.y[-1] else -1)
    right = slice(None, None, 1 if forecast.x[0] < forecast.x[-1] else -1)
    return forecast.isel(y=down, x=right)


def check_fire_forecast(forecast: xr.Dataset, where: object = "forecast") -> None:
    """Check that a data set has the form at the top of this file.

    Args:
        forecast: the data set; its values are read.
        where: what to call it in the message.

    Raises:
        InputError: it has not; the first thing that does not fit is named.
    """
    for problem in (_wrong_form, _wrong_attributes, _wrong_grid, _wrong_times, _wrong_values):
        if found := problem(forecast):
            raise InputError(where, found[0], found[1], REMEDY)


def _wrong_form(forecast: xr.Dataset) -> tuple[str, str] | None:
    for name, (dimensions, dtype) in FORM.items():
        if name not in forecast:
            return f"no variable {name}", f"the variables {', '.join(FORM)}"
        if forecast[name].dims != dimensions or forecast[name].dtype != dtype:
            found = f"{name} {forecast[name].dims} of {forecast[name].dtype}"
            return found, f"{name} {dimensions} of {dtype}"
    for name in ("lead", "valid_time", "init_time", "y", "x"):
        if name not in forecast.coords:
            return f"no coordinate {name}", "the coordinates lead, valid_time, init_time, y, x"
    if forecast.lead.values.tolist() != list(range(1, forecast.sizes["lead"] + 1)):
        return f"leads {forecast.lead.values.tolist()}", "leads 1, 2, 3 ... in steps of one frame"
    return None


def _wrong_attributes(forecast: xr.Dataset) -> tuple[str, str] | None:
    missing = [name for name in ATTRIBUTES if name not in forecast.attrs]
    if missing:
        return f"no attribute {', '.join(missing)}", f"the attributes {', '.join(ATTRIBUTES)}"
    if not str(forecast.attrs["fire_id"]).strip():
        return "an empty fire_id", "a name for the fire"
    if not float(forecast.attrs["seconds_per_frame"]) > 0:
        return f"seconds_per_frame {forecast.attrs['seconds_per_frame']}", "seconds_per_frame above 0"
    try:
        json.dumps(forecast.attrs["provenance"])
    except TypeError as error:
        return f"provenance that is no JSON content: {error}", "provenance of strings, numbers, lists and mappings"
    return None


def _wrong_grid(forecast: xr.Dataset) -> tuple[str, str] | None:
    for axis in ("y", "x"):
        centres = forecast[axis].values.astype(float)
        if len(centres) < 2:
            return f"{len(centres)} pixel along {axis}", "two or more, so that their spacing is known"
        even = np.linspace(centres[0], centres[-1], len(centres))
        spacing = abs(even[1] - even[0])
        if not (spacing > 0 and np.abs(centres - even).max() <= EVEN * spacing):
            return f"coordinates {axis} that are not evenly spaced", "centres of the pixels of an even grid"
    crs = forecast.rio.crs
    if crs is not None and crs.is_geographic and np.abs(forecast.y.values).max() > 90:
        return f"y up to {np.abs(forecast.y.values).max():g} with a CRS in degrees", "latitudes from -90 to 90"
    return None


def _wrong_times(forecast: xr.Dataset) -> tuple[str, str] | None:
    times = np.concatenate([[forecast.init_time.values], forecast.valid_time.values])
    if not np.issubdtype(times.dtype, np.datetime64) or np.isnat(times).any():
        return "times that are missing or no dates", "datetime64 init_time and valid_time"
    if not (np.diff(times) > np.timedelta64(0)).all():
        return f"init_time and valid_time {times.astype('datetime64[s]').tolist()}", "times that rise with lead"
    return None


def _wrong_values(forecast: xr.Dataset) -> tuple[str, str] | None:
    probability, burned = forecast.probability.values, forecast.burned.values
    known = probability[~np.isnan(probability)]
    if known.size and not (known.min() >= 0 and known.max() <= 1):
        return f"probabilities from {known.min()} to {known.max()}", "0 to 1, NaN where unknown"
    others = set(np.unique(burned).tolist()) - {0, 1, UNKNOWN}
    if others:
        return f"burned with the values {sorted(others)}", "burned of 0, 1 and 255 (unknown)"
    if not (probability[:, burned == 1] == 1).all():
        return "a probability below 1, or none, where burned is 1", "probability 1 where it is already burned"
    falls = np.diff(probability, axis=0) < 0
    if falls.any():
        lead = int(np.argwhere(falls)[0, 0]) + 1
        return f"{np.count_nonzero(falls)} probabilities that fall, the first after lead {lead}", "burned stays burned"
    return None
