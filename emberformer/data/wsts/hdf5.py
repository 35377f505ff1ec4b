"""The HDF5 layout of WildfireSpreadTS: <year>/fire_<id>.hdf5, one file a fire.

    data [day, band, y, x]            23 bands; the last is the hour of the day's last detection, 0 = none
    attributes of `data`              img_dates (one a day, in old files with the ending .tif), lnglat (centre of the
                                      raster: longitude, latitude), year, fire_name

The files tell neither projection nor transform. The place that comes back is approximate: pixels of 375 m about the
centre in the UTM zone of its longitude, which need not be the zone of the original raster.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from emberformer.data.wsts.days import CELL_M, REMEDY, Day, SourceFire, check_bands, day_of_hours
from emberformer.errors import InputError

EXPECTED = "an HDF5 file with a data set `data` [day, band, y, x]"
ATTRIBUTES = ("img_dates", "lnglat")
TransformNumbers = tuple[float, float, float, float, float, float]


def open_hdf5_fire(path: Path, missing_attributes: Literal["refuse", "unknown"] = "refuse") -> SourceFire:
    """Find the days and the approximate place of a fire.

    Args:
        path: `<year>/fire_<id>.hdf5`.
        missing_attributes: of files without `img_dates` or `lnglat`. unknown: the dates are None, the coordinate
            reference system is "" and the transform starts at (0, 0).

    Returns:
        The fire; its pixels are read a day at a time.

    Raises:
        InputError: the file cannot be read, has other bands, lacks attributes that it must have, or its dates do not
            fit.
    """
    with _opened(path) as data:
        if data.ndim != 4:
            raise InputError(path, f"`data` of shape {data.shape}", EXPECTED, REMEDY)
        days, bands, *shape = data.shape
        check_bands(bands, path)
        stamps, centre = (data.attrs.get(name) for name in ATTRIBUTES)
        if missing_attributes == "refuse":
            _check_attributes(data, path)
    crs_wkt, transform = place_about(centre, (shape[0], shape[1]), path)
    return SourceFire(
        year=int(path.parent.name),
        name=path.stem,
        path=path,
        dates=None if stamps is None else _dates(stamps, days, path),
        days=days,
        shape=(shape[0], shape[1]),
        crs_wkt=crs_wkt,
        transform=transform,
        read=partial(_read_day, path),
    )


def place_about(
    centre: np.ndarray | tuple[float, float] | None, shape: tuple[int, int], where: object
) -> tuple[str, TransformNumbers]:
    """Approximate place of a raster of which only the centre is known.

    The UTM zone is number floor((longitude + 180) / 6) + 1; the upper left corner lies half the raster to the north and
    west of the centre.

    Args:
        centre: longitude and latitude in degrees; None = unknown.
        shape: rows and columns.
        where: the file, for messages.

    Returns:
        Coordinate reference system ("" = unknown) and affine transform (a, b, c, d, e, f).

    Raises:
        InputError: the centre is no place on earth.
    """
    crs_wkt, left, top = "", 0.0, 0.0
    if centre is not None:
        longitude, latitude = (float(number) for number in centre)
        if not (-180 <= longitude < 180 and -80 <= latitude <= 84):
            raise InputError(f"{where}, lnglat", f"{longitude}, {latitude}", "longitude and latitude", REMEDY)
        zone = math.floor((longitude + 180) / 6) + 1
        crs = CRS.from_epsg((32600 if latitude >= 0 else 32700) + zone)
        x, y = transform_points(CRS.from_epsg(4326), crs, [longitude], [latitude])[:2]
        left, top = x[0] - CELL_M * shape[1] / 2, y[0] + CELL_M * shape[0] / 2
        crs_wkt = crs.to_wkt()
    return crs_wkt, (CELL_M, 0.0, left, 0.0, -CELL_M, top)


def _check_attributes(data: h5py.Dataset, path: Path) -> None:
    if missing := [name for name in ATTRIBUTES if name not in data.attrs]:
        remedy = (
            "write the file again from the GeoTIFFs with CreateHDF5Dataset.py of the data set's code, set "
            "`missing_attributes: unknown` to read it all the same, or `on_error: skip` to leave such fires out"
        )
        found = f"`data` without the attribute {' and '.join(missing)}"
        raise InputError(path, found, "img_dates, the day of each image, and lnglat, their centre", remedy)


def _dates(stamps: np.ndarray, days: int, path: Path) -> np.ndarray:
    """Dates of the attribute img_dates, whose entries are text or bytes and may end in .tif."""
    words = [stamp.decode() if isinstance(stamp, bytes) else str(stamp) for stamp in stamps]
    where = f"{path}, img_dates"
    if len(words) != days:
        raise InputError(where, f"{len(words)} dates for {days} days", "one date a day", REMEDY)
    try:
        return np.array([re.sub(r"\.tiff?$", "", word) for word in words], "datetime64[D]")
    except ValueError as error:
        raise InputError(where, str(error), "dates such as 2018-06-11", REMEDY) from error


def _read_day(path: Path, day: int) -> Day:
    with _opened(path) as data:
        bands = data[day].astype("float32")
    return day_of_hours(bands, f"{path}, day {day}")


@contextmanager
def _opened(path: Path) -> Iterator[h5py.Dataset]:
    """The data set `data` of a file; what HDF5 says about a damaged one becomes an InputError."""
    try:
        with h5py.File(path, "r", locking=False) as file:  # a file on a read-only disk cannot be locked
            data = file.get("data")
            if not isinstance(data, h5py.Dataset):
                raise InputError(path, f"entries {sorted(file)}", EXPECTED, REMEDY)
            yield data
    except (OSError, RuntimeError) as error:
        raise InputError(path, str(error), EXPECTED, REMEDY) from error
