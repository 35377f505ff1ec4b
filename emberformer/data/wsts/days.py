"""A fire of WildfireSpreadTS, whichever layout it comes from, and what every day of it must hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from emberformer.data.wsts.bands import BANDS, PLACE
from emberformer.errors import InputError

CELL_M = 375.0
CLASSES = 17  # of land cover
REMEDY = "get the file again from the data set, or set `on_error: skip` to leave such fires out"


class Day(NamedTuple):
    """One day of a fire: what burned (0 or 1), and the 23 bands, the last as an hour (0 = no detection)."""

    burned: UInt8[np.ndarray, "y x"]
    bands: Float32[np.ndarray, "band y x"]


@dataclass(frozen=True)
class SourceFire:
    """A fire as its files describe it, without its pixels.

    Args:
        year: the folder it lies in.
        name: such as "fire_21458798".
        path: its folder or file.
        dates: date of each day, datetime64[D] [day]; None where the files tell none.
        days: number of days.
        shape: rows and columns.
        crs_wkt: coordinate reference system, "" = unknown.
        transform: affine transform (a, b, c, d, e, f) of its raster.
        read: number of the day, from 0 -> its content.
    """

    year: int
    name: str
    path: Path
    dates: np.ndarray | None
    days: int
    shape: tuple[int, int]
    crs_wkt: str
    transform: tuple[float, float, float, float, float, float]
    read: Callable[[int], Day]

    @property
    def fire_id(self) -> str:
        """Year and name: a fire is named within its year."""
        return f"{self.year}_{self.name}"


def day_of_times(bands: Float32[np.ndarray, "band y x"], where: object) -> Day:
    """A day whose last band is the time of detection as hhmm, NaN = none (the GeoTIFFs).

    Any time above 0 is a fire. The hour is what the HDF5 files hold: hhmm // 100. A detection in the first hour of a
    day is thus a fire, of hour 0.
    """
    times = np.nan_to_num(bands[-1], nan=0.0)
    _check_range(times, 0, 2359, "active fire", "times hhmm", where)
    return _day(times, np.floor(times / 100), bands, where)


def day_of_hours(bands: Float32[np.ndarray, "band y x"], where: object) -> Day:
    """A day whose last band is the hour of detection, 0 = none (the HDF5 files).

    A detection in the first hour of a day cannot be told from none there.
    """
    hours = np.nan_to_num(bands[-1], nan=0.0)
    _check_range(hours, 0, 23, "active fire", "hours", where)
    return _day(hours, hours, bands, where)


def _day(
    detected: Float32[np.ndarray, "y x"],
    hours: Float32[np.ndarray, "y x"],
    bands: Float32[np.ndarray, "band y x"],
    where: object,
) -> Day:
    _check_range(bands[PLACE["landcover"]], 0, CLASSES, "landcover", "classes", where)
    return Day((detected > 0).astype(np.uint8), np.concatenate([bands[:-1], hours[None]]))


def check_bands(count: int, where: object) -> None:
    """There are 23 bands.

    Raises:
        InputError: there are not.
    """
    if count != len(BANDS):
        raise InputError(where, f"{count} bands", f"the {len(BANDS)} bands of WildfireSpreadTS", REMEDY)


def check_shape(shape: tuple[int, int], expected: tuple[int, int], where: object) -> None:
    """A day has the size of the first day of its fire.

    Raises:
        InputError: it has not.
    """
    if shape != expected:
        found = f"{shape[0]} x {shape[1]} pixels"
        raise InputError(where, found, f"{expected[0]} x {expected[1]}, as on the fire's first day", REMEDY)


def check_dates(dates: np.ndarray, where: object) -> None:
    """Every day is later than the one before it.

    Raises:
        InputError: naming the first that is not.
    """
    wrong = np.flatnonzero(np.diff(dates) <= np.timedelta64(0, "D"))
    if wrong.size:
        before, after = dates[wrong[0]], dates[wrong[0] + 1]
        raise InputError(where, f"{after} after {before}", "each day later than the one before it", REMEDY)


def _check_range(
    values: Float32[np.ndarray, "y x"], low: float, high: float, band: str, unit: str, where: object
) -> None:
    outside = values[(values < low) | (values > high)]  # NaN is neither
    if outside.size:
        remedy = "check that the bands stand in the data set's own order; " + REMEDY
        found = f"{outside[0]:g} in band {band}"
        raise InputError(where, found, f"{unit} from {low:g} to {high:g}", remedy)
