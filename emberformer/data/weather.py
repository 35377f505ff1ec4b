"""Weather tables of the deep_crown layout: one row a step, wind in SI and as a vector that points where it blows."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float32

from emberformer.data_settings import WeatherSettings
from emberformer.errors import InputError

log = logging.getLogger(__name__)
METRES_PER_SECOND = {"m s-1": 1.0, "km h-1": 1 / 3.6, "mph": 0.44704}
FIRST_TIME = np.datetime64("1970-01-01T00:00:00", "s")  # of fires whose source tells no time


@dataclass(frozen=True)
class WeatherTable:
    """One weather file.

    Args:
        path: the file.
        columns: its numeric columns as they stand there, name -> values [row].
        time: time of each row, datetime64[s] [row], NaT in a row that tells none; None where the column `datetime` is
            missing or unreadable.
    """

    path: Path
    columns: dict[str, np.ndarray]
    time: np.ndarray | None


def wind_towards(
    speed: Float[np.ndarray, " row"], direction_from: Float[np.ndarray, " row"]
) -> Float[np.ndarray, "row 2"]:
    """Wind vector from speed and meteorological direction.

    (u, v) = -speed (sin d, cos d): a wind from the west (d = 270) blows towards the east (u > 0).

    Args:
        speed: wind speed, any unit [row].
        direction_from: direction that the wind blows from, degrees clockwise from north [row].

    Returns:
        u (east) and v (north), in the unit of `speed` [row, 2].
    """
    angle = np.deg2rad(direction_from)
    return -speed[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)


def usable_wind(speed: Float[np.ndarray, ...], direction_from: Float[np.ndarray, ...]) -> Bool[np.ndarray, ...]:
    """Whether a wind can be true: its speed is known and not negative, its direction from 0 to 360 degrees."""
    return np.isfinite(speed) & (speed >= 0) & (direction_from >= 0) & (direction_from <= 360)  # false for NaN


def read_weather(path: Path, settings: WeatherSettings) -> WeatherTable:
    """Read one weather file.

    Raises:
        InputError: the file is missing or unreadable, or lacks the columns of wind speed or direction.
    """
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        remedy = "supply the file, or correct its name in WeatherHistory.csv"
        raise InputError(path, str(error), "a weather table (CSV with a header)", remedy) from error
    numeric = table.select_dtypes("number").drop(columns=["datetime", "wind_u", "wind_v"], errors="ignore")
    for key, column in {"speed": settings.speed, "direction": settings.direction}.items():
        if column not in numeric:
            found, remedy = f"numeric columns {sorted(numeric)}", f"name the column in weather.{key} of the data set"
            raise InputError(path, found, f"a numeric column {column!r}", remedy)
    columns = {str(name): numeric[name].to_numpy(float) for name in numeric}
    return WeatherTable(path, columns, _read_time(path, table))


def _read_time(path: Path, table: pd.DataFrame) -> np.ndarray | None:
    if "datetime" not in table:
        return None
    told = table["datetime"]
    words = told.map(lambda word: word if isinstance(word, str) else None)  # a number is no date
    time = pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
    unread = time.isna().to_numpy()
    if unread.any():
        first = int(np.argmax(unread))
        said = "%s, line %d: datetime %r is no time in ISO 8601; the table is read as if it told none"
        log.warning(said, path, first + 2, str(told.iloc[first]))
        return None
    return time.dt.tz_localize(None).to_numpy("datetime64[s]")


def weather_variables(names: list[str], settings: WeatherSettings | None) -> dict[str, str]:
    """Variables of the store, name -> unit: the wind vector, then raw columns ("" = unit unknown)."""
    units = {settings.speed: settings.speed_unit, settings.direction: "deg"} if settings else {}
    return {"wind_u": "m s-1", "wind_v": "m s-1"} | {name: units.get(name, "") for name in names}


def common_columns(tables: list[WeatherTable]) -> list[str]:
    """Numeric columns that all tables have, in the order of the first."""
    return [name for name in (tables[0].columns if tables else ()) if all(name in table.columns for table in tables)]


def drive_steps(
    table: WeatherTable, names: list[str], frames: int, settings: WeatherSettings
) -> Float32[np.ndarray, "frame weather_variable"]:
    """Weather that drives each step of a fire: at frame k, row k + row_offset of the table.

    Args:
        table: the fire's weather.
        names: raw columns to keep beside the wind.
        frames: number of frames of the fire.
        settings: which columns are the wind, in which unit, and the offset of the rows.

    Returns:
        float32 [frame, weather_variable]: wind_u, wind_v (m s-1, towards) and the raw columns. NaN where the table has
        no row: at the last frame if the table ends there, and at the first frames with a negative offset.

    Raises:
        InputError: too few rows for the fire's steps, or a row that drives a step has no usable wind.
    """
    rows = np.arange(frames) + settings.row_offset
    available, needed = len(table.columns[settings.speed]), frames - 1 + settings.row_offset
    if available < needed:
        raise InputError(
            table.path,
            f"{available} rows",
            f"at least {needed} rows, for the steps of a fire of {frames} frames and row_offset {settings.row_offset}",
            "complete the weather table, or remove the frames that it does not cover",
        )
    exists = (rows >= 0) & (rows < available)
    values = np.full((frames, 2 + len(names)), np.nan, "float32")
    speed, direction = (table.columns[column][rows[exists]] for column in (settings.speed, settings.direction))
    _check_wind(table.path, rows[exists], speed, direction, settings)
    values[exists, :2] = wind_towards(speed * METRES_PER_SECOND[settings.speed_unit], direction)
    for index, name in enumerate(names):
        values[exists, 2 + index] = table.columns[name][rows[exists]]
    return values


def _check_wind(
    path: Path, rows: np.ndarray, speed: np.ndarray, direction: np.ndarray, settings: WeatherSettings
) -> None:
    usable = usable_wind(speed, direction)
    if not usable.all():
        first = int(np.argmin(usable))
        raise InputError(
            f"{path}, row {rows[first]} (line {rows[first] + 2})",
            f"{settings.speed} = {speed[first]}, {settings.direction} = {direction[first]}",
            f"{settings.speed} >= 0 and {settings.direction} from 0 to 360",
            "fill in the wind of this row; a wind that is not known cannot drive a fire",
        )


def frame_times(time: np.ndarray | None, frames: int, seconds_per_frame: float) -> np.ndarray:
    """Time of each frame: that of the table's row of the same number; rows that are missing at the end are counted on.

    Args:
        time: times of the rows, datetime64[s] [row], or None.
        frames: number of frames of the fire.
        seconds_per_frame: time between two frames.

    Returns:
        datetime64[s] [frame]; from 1970-01-01 on where the table tells no time.
    """
    steps = np.round(np.arange(frames) * seconds_per_frame).astype("timedelta64[s]")
    if time is None or not len(time):
        return FIRST_TIME + steps
    known = time[:frames]
    return np.concatenate([known, known[-1] + steps[1 : frames - len(known) + 1]])


def read_history(path: Path) -> list[str]:
    """Weather file of each sequence: line i names that of sequence i; folders before the name do not count.

    Returns:
        File names such as "Weather14.csv", "" for an empty line; the first is that of sequence 1.

    Raises:
        InputError: the file is missing.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        remedy = "supply the file, or set `weather: null` for the data set"
        raise InputError(path, str(error), "one line a sequence that names its weather file", remedy) from error
    return [PureWindowsPath(line.strip().strip('"')).name for line in lines]  # splits at / and at \
