"""The GeoTIFF layout of WildfireSpreadTS: <year>/fire_<id>/<YYYY-MM-DD>.tif, one file a day, 23 bands.

Each fire has a UTM zone of its own; pixels are 375 m. The last band is the time of the day's last detection as hhmm,
NaN where there was none.
"""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path

import numpy as np

from emberformer.data.raster_files import opened_raster
from emberformer.data.wsts.days import CELL_M, REMEDY, Day, SourceFire, check_bands, check_shape, day_of_times
from emberformer.errors import InputError

DATED = re.compile(r"(\d{4}-\d\d-\d\d)(?:_.*)?\.tiff?")


def open_geotiff_fire(folder: Path) -> SourceFire:
    """Find the days of a fire and, from the first of them, its place.

    Args:
        folder: `<year>/fire_<id>`.

    Returns:
        The fire; its pixels are read a day at a time.

    Raises:
        InputError: there are no days, the name of one tells no date, or the first cannot be used.
    """
    files = _dated(folder)
    with opened_raster(first := files[0][1], REMEDY) as raster:
        check_bands(raster.count, first)
        crs, transform, shape = raster.crs, raster.transform, raster.shape
    sides = (transform.a, -transform.e)
    if transform.b or transform.d or not all(math.isclose(side, CELL_M, rel_tol=0.01) for side in sides):
        expected = f"north-up pixels of {CELL_M:g} m: ({CELL_M:g}, 0, x, 0, -{CELL_M:g}, y)"
        raise InputError(f"{first}, transform", f"{tuple(transform)[:6]}", expected, REMEDY)
    paths = [path for _, path in files]
    return SourceFire(
        year=int(folder.parent.name),
        name=folder.name,
        path=folder,
        dates=np.array([date for date, _ in files], "datetime64[D]"),
        days=len(files),
        shape=shape,
        crs_wkt=crs.to_wkt() if crs else "",
        transform=tuple(transform)[:6],
        read=partial(_read_day, paths, shape),
    )


def _dated(folder: Path) -> list[tuple[np.datetime64, Path]]:
    """Dates and files of a folder, earliest first; files that are no TIFs do not count."""
    files: dict[np.datetime64, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix not in (".tif", ".tiff"):
            continue
        date = _date_of(path)
        if date in files:
            raise InputError(folder, f"{files[date].name} and {path.name}", "one file a day", "remove one of the two")
        files[date] = path
    if not files:
        raise InputError(folder, "no TIF", "one file a day, such as 2018-06-11.tif", REMEDY)
    return sorted(files.items())


def _date_of(path: Path) -> np.datetime64:
    if match := DATED.fullmatch(path.name):
        try:
            return np.datetime64(match[1], "D")
        except ValueError:  # a month 13
            pass
    raise InputError(path, "no date in the name", "a name such as 2018-06-11.tif", "rename or remove the file")


def _read_day(paths: list[Path], shape: tuple[int, int], day: int) -> Day:
    path = paths[day]
    with opened_raster(path, REMEDY) as raster:
        check_bands(raster.count, path)
        check_shape(raster.shape, shape, path)
        bands = raster.read(out_dtype="float32", masked=True)
    return day_of_times(np.ma.filled(bands, np.float32(np.nan)), path)
