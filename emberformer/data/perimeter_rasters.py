"""Perimeters as GeoTIFFs: one file a frame, or one file with a band a frame; above 0 is burned, no data is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from jaxtyping import UInt8

from emberformer.data.fire_grid import Grid
from emberformer.data.fire_history import Observations
from emberformer.data.fires import UNKNOWN
from emberformer.data.perimeter_times import (
    check_increasing,
    check_numbers,
    count_times,
    sort_files,
    told_time,
)
from emberformer.data.raster_files import opened_raster, read_known
from emberformer.errors import InputError

TIME_TAGS = ("valid_time", "time", "datetime", "timestamp")
SAVED = "TIFFTAG_DATETIME"  # when the file was made, by the standard; some write the frame's time there


def place_of(raster: rasterio.DatasetReader) -> Grid | None:
    """Grid of a raster; None if it has neither a CRS nor a transform.

    Raises:
        InputError: it has a transform without a CRS, or the other way round.
    """
    if raster.crs and not raster.transform.is_identity:
        return Grid(raster.crs, raster.transform, raster.height, raster.width)
    if raster.crs is None and raster.transform.is_identity:
        return None
    found = "a transform without a coordinate reference system" if raster.crs is None else "a CRS without a transform"
    raise InputError(
        raster.name,
        found,
        "a georeferenced raster",
        "gdal_edit.py -a_srs EPSG:<code> [-a_ullr <left> <top> <right> <bottom>] writes what is missing into the file",
    )


def read_raster_perimeters(paths: Sequence[Path], start: np.datetime64 | None, minutes: float) -> Observations:
    """Perimeters of one file with many bands, or of many files with one band each.

    The time of a frame is, of these, the first that it has: counted in steps from `start`, if it is given; a tag
    (`valid_time`, `time`, `datetime`, `timestamp`); the name of the band or of the file; TIFFTAG_DATETIME. Without any
    of them frames are `minutes` apart. Files are sorted by the number at the end of their names, or by time.

    Args:
        paths: the files.
        start: time of the first frame, or None.
        minutes: length of a step.

    Raises:
        InputError: naming the first file that does not fit, or where there is no data wherever nothing burned.
    """
    paths = sort_files(paths)
    frames = _read_bands(paths[0], start) if len(paths) == 1 else [_read_file(path, start) for path in paths]
    for frame in frames[1:]:
        _check_same_place(frames[0], frame)
    check_unburned(frames[0].name, [frame.burned for frame in frames], "gdal_edit.py -unsetnodata FILE")
    return order_frames(
        str(paths[0] if len(paths) == 1 else paths[0].parent),
        [frame.name for frame in frames],
        np.stack([frame.burned for frame in frames]),
        [frame.time for frame in frames],
        frames[0].grid,
        start,
        minutes,
        paths if len(paths) > 1 else (),
    )


def check_unburned(where: object, frames: Sequence[UInt8[np.ndarray, "y x"]], command: str) -> None:
    """Masks that know the fire know also where it is not.

    Args:
        where: the first of them, for messages.
        frames: 0, 1, 255 = unknown.
        command: takes the mark of no data out of the file.

    Raises:
        InputError: no pixel of any frame is known to be unburned, and some are unknown.
    """
    if any((burned == UNKNOWN).any() for burned in frames) and not any((burned == 0).any() for burned in frames):
        found = "no pixel that is known to be unburned: all but the fire is without data"
        remedy = f"if the value of no data is 0, and 0 means unburned: {command}"
        raise InputError(where, found, "1 burned, 0 not; no data only where nobody looked", remedy)


def order_frames(
    where: str,
    names: Sequence[str],
    burned: UInt8[np.ndarray, "n y x"],
    times: Sequence[np.datetime64 | None],
    grid: Grid | None,
    start: np.datetime64 | None,
    minutes: float,
    paths: Sequence[Path] = (),
) -> Observations:
    """Give frames their times: those that they tell, unless there is a start or some tell none.

    Args:
        where: what they were read from.
        names: of files or bands, in order.
        burned: masks in the same order.
        times: what each tells, or None.
        grid: where they lie.
        start: time of the first, or None.
        minutes: length of a step.
        paths: files of one frame each, whose numbers must have no gap where times are counted.

    Raises:
        InputError: some frames tell their time and others do not, or times are not in order.
    """
    told = [time is not None for time in times]
    if start is None and any(told) and not all(told):
        found = f"{names[told.index(True)]} tells its time, {names[told.index(False)]} does not"
        remedy = "give the time in all files; with --start `forecast` counts them in steps of --minutes instead"
        raise InputError(where, found, "a time for each frame, or for none", remedy)
    if start is None and all(told):
        known = np.array(times, "datetime64[s]")
        check_increasing(known, names, where)
        return Observations(where, burned, known, True, grid)
    check_numbers(paths, minutes)
    notes = [f"{len(burned)} frames are taken to be {minutes:g} minutes apart"] if len(burned) > 1 else []
    if start is not None and any(told):
        notes.append(f"times in the files are not used: the first frame is of {start}, as --start says")
    return Observations(where, burned, count_times(len(burned), start, minutes), start is not None, grid, tuple(notes))


class RasterFrame(NamedTuple):
    """One band: what it is called in messages, its mask, place and time, as far as it tells them."""

    name: str
    burned: np.ndarray
    grid: Grid | None
    time: np.datetime64 | None


def _check_same_place(first: RasterFrame, other: RasterFrame) -> None:
    if other.burned.shape != first.burned.shape:
        found, expected = ("{} x {} pixels".format(*frame.burned.shape) for frame in (other, first))
    elif (first.grid is None) != (other.grid is None):
        found, expected = (f"{'no' if frame.grid is None else 'a'} georeference" for frame in (other, first))
    elif first.grid and other.grid and first.grid.offset(other.grid) != (0, 0):
        found, expected = (f"{grid.describe()}, at {grid.bounds}" for grid in (other.grid, first.grid))
    else:
        return
    remedy = "supply all frames on one grid, for example with gdalwarp -t_srs ... -te ... -ts ..."
    raise InputError(other.name, found, f"{expected}, as {first.name}", remedy)


def _read_file(path: Path, start: np.datetime64 | None) -> RasterFrame:
    frames = _read_bands(path, start)
    if len(frames) != 1:
        remedy = "give one file with a band a frame, or files with one band each"
        raise InputError(path, f"{len(frames)} bands in one of many files", "one band", remedy)
    return frames[0]._replace(name=str(path))


def _read_bands(path: Path, start: np.datetime64 | None) -> list[RasterFrame]:
    with opened_raster(path, "supply the file again, or remove it from the perimeters") as raster:
        grid, frames = place_of(raster), []
        for number, description in enumerate(raster.descriptions, 1):
            name = f"{path}, band {number}"
            tags = raster.tags(number) | (raster.tags() if raster.count == 1 else {})
            words = [tags[tag] for tag in TIME_TAGS if tag in tags]
            words += [description or "", path.stem if raster.count == 1 else ""]
            words.append(tags.get(SAVED, "").replace(":", "-", 2))  # TIFF writes its dates as 2024:01:31
            time = told_time(words, name, start)
            frames.append(RasterFrame(name, burned_where_positive(read_known(raster, number)), grid, time))
    return frames


def burned_where_positive(values: np.ma.MaskedArray) -> UInt8[np.ndarray, "y x"]:
    """1 above zero, else 0; 255 where there is no data or NaN."""
    known = ~np.ma.getmaskarray(values)
    raw = np.ma.getdata(values)
    if raw.dtype.kind == "f":
        known &= ~np.isnan(raw)
    return np.where(known, raw > 0, np.uint8(UNKNOWN)).astype(np.uint8)
