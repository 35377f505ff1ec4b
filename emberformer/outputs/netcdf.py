"""NetCDF and Zarr of a forecast with the attributes of the CF conventions, version 1.11 (https://cfconventions.org)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import xarray as xr

EPOCH = "seconds since 1970-01-01 00:00:00"
ATTRIBUTES = {
    "probability": {
        "long_name": "probability of being burned by valid_time",
        "units": "1",
        "valid_range": np.array([0, 1], np.float32),
    },
    "burned": {
        "long_name": "burned at init_time",
        "flag_values": np.array([0, 1, 255], np.uint8),
        "flag_meanings": "unburned burned unknown",
    },
    "wind_u": {"long_name": "wind towards east in the step up to valid_time", "standard_name": "eastward_wind"},
    "wind_v": {"long_name": "wind towards north in the step up to valid_time", "standard_name": "northward_wind"},
    "lead": {"long_name": "steps ahead of init_time", "units": "1"},
    "valid_time": {"long_name": "time for which the forecast is valid", "standard_name": "time"},
    "init_time": {"long_name": "time of the newest perimeter", "standard_name": "forecast_reference_time"},
}


def write_netcdf(forecast: xr.Dataset, path: Path) -> None:
    """Write a forecast; `emberformer.outputs.fire_forecast.open_fire_forecast` reads an equal one.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        path: file to write.
    """
    described = _storable(forecast)
    packed = {"zlib": True, "complevel": 4}
    chunks = {"chunksizes": (1, *described.probability.shape[1:])}
    encoding = _encoding(described, packed | chunks, packed)
    memory = BytesIO()  # HDF5 cannot bear a full disk: it ends the process
    described.to_netcdf(memory, engine="h5netcdf", encoding=encoding)
    path.write_bytes(memory.getvalue())


def write_zarr(forecast: xr.Dataset, path: Path) -> None:
    """Write a forecast as a Zarr store (version 3), described alike; `open_fire_forecast` reads it too.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        path: folder to write.
    """
    described = _storable(forecast)
    encoding = _encoding(described, {"chunks": (1, *described.probability.shape[1:])}, {})
    described.to_zarr(path, zarr_format=3, consolidated=True, encoding=encoding)


def _storable(forecast: xr.Dataset) -> xr.Dataset:
    """The forecast, described, with text for attributes."""
    described = with_cf_attributes(forecast)
    return described.assign_attrs(provenance=json.dumps(forecast.attrs["provenance"]))


def _encoding(
    described: xr.Dataset, probability: Mapping[str, object], burned: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """How variables are stored, and how these two are."""
    grid = {} if described.rio.crs is None else {"grid_mapping": described.rio.grid_mapping}
    return {
        "probability": {**probability, **grid},
        "burned": {**burned, **grid},
        "valid_time": {"units": EPOCH, "dtype": "int64"},
        "init_time": {"units": EPOCH, "dtype": "int64"},
        "y": {"_FillValue": None},  # coordinates have no gaps
        "x": {"_FillValue": None},
    }


def with_cf_attributes(forecast: xr.Dataset) -> xr.Dataset:
    """The same values, described: names, units, flags, the CRS as grid mapping."""
    described = forecast.drop_encoding()
    described.attrs = {"Conventions": "CF-1.11", **forecast.attrs}
    for name, attributes in ATTRIBUTES.items():
        described[name].attrs.update(attributes)
    for name in ("wind_u", "wind_v"):
        described[name].attrs["units"] = "m s-1"
    crs = forecast.rio.crs
    if crs is None:
        for axis in ("x", "y"):
            described[axis].attrs.update(long_name=f"{axis} of the pixel centre", units="m", axis=axis.upper())
        return described
    return described.rio.write_crs(crs).rio.write_coordinate_system()
