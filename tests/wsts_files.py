"""Fires in the two layouts of WildfireSpreadTS, as small as they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import rasterio
from rasterio import Affine

LEFT, TOP, ZONE = 600_000.0, 4_400_000.0, "EPSG:32610"


def made_days(days: int, shape: tuple[int, int] = (6, 8), seed: int = 0) -> np.ndarray:
    """Plausible values of the 23 bands, float32 [day, band, y, x]; the last is hhmm, NaN = no detection."""
    draw = np.random.default_rng(seed)
    bands = draw.normal(100, 30, (days, 23, *shape)).astype("float32")
    for angle in (7, 13):
        bands[:, angle] = draw.uniform(0, 360, (days, *shape))
    bands[:, 19] = draw.uniform(-90, 90, (days, *shape))
    bands[:, 6] = draw.uniform(0, 10, (days, *shape))
    bands[:, 12:15] = bands[0, 12:15]
    bands[:, 16] = draw.integers(1, 18, shape)
    detected = draw.random((days, *shape)) < 0.3
    bands[:, 22] = np.where(detected, draw.choice([912.0, 1054.0, 2130.0], (days, *shape)), np.nan)
    for changing in (0, 7, 15):
        bands[:, changing][draw.random((days, *shape)) < 0.1] = np.nan
    for static in (12, 16):
        bands[:, static, draw.random(shape) < 0.1] = np.nan
    return bands


def in_hours(bands: np.ndarray) -> np.ndarray:
    """The same as the data set's own conversion to HDF5 has it: NaN detections are 0, hhmm becomes hh."""
    hours = bands.copy()
    hours[:, 22] = np.nan_to_num(bands[:, 22]) // 100
    return hours


def dates_from(start: str, days: int, missing: Sequence[int] = ()) -> list[str]:
    """Names of consecutive days, but for some that are missing."""
    offsets = [offset for offset in range(days + len(missing)) if offset not in missing]
    return [str(np.datetime64(start) + offset) for offset in offsets]


def write_geotiffs(root: Path, fire: str, dates: Sequence[str], bands: np.ndarray, crs: str = ZONE) -> Path:
    """Write a fire such as "2018/fire_1", a file a day."""
    folder = root / fire
    folder.mkdir(parents=True, exist_ok=True)
    for date, values in zip(dates, bands, strict=True):
        count, height, width = values.shape
        with rasterio.open(
            folder / f"{date}.tif",
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype="float32",
            crs=crs,
            transform=Affine(375, 0, LEFT, 0, -375, TOP),
        ) as raster:
            raster.write(values)
    return folder


def write_hdf5(
    root: Path,
    fire: str,
    dates: Sequence[str] | None,
    bands: np.ndarray,
    centre: tuple[float, float] | None = (-121.5, 39.7),
) -> Path:
    """Write a fire such as "2018/fire_1", whose bands are `in_hours`."""
    path = root / f"{fire}.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", data=bands)
        if dates is not None:
            data.attrs["img_dates"] = list(dates)
        if centre is not None:
            data.attrs["lnglat"] = centre
        data.attrs["year"] = path.parent.name
        data.attrs["fire_name"] = path.stem
    return path
