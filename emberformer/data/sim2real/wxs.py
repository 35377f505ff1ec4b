"""Weather of Sim2Real-Fire: one line an hour, as FARSITE reads it.

    year month day hhmm temperature relative_humidity precipitation wind_speed wind_direction cloud_cover

A line of "#" is an hour whose weather is not known; it counts, for lines and masks go by number.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from emberformer.data.weather import METRES_PER_SECOND, WeatherTable, usable_wind, wind_towards
from emberformer.errors import InputError

log = logging.getLogger(__name__)
COLUMNS = ("temperature", "relative_humidity", "precipitation", "wind_speed", "wind_direction", "cloud_cover")
# The source does not say whether its rain is in inches, hundredths of them, or millimetres.
KEPT = {"temperature": "K", "relative_humidity": "percent", "precipitation": "", "cloud_cover": "percent"}
EXPECTED = f"year month day hhmm {' '.join(COLUMNS)}"
REMEDY = "correct the line, or set `weather: false`"


def read_wxs(path: Path, units: Literal["english", "metric"]) -> WeatherTable:
    """Read one weather file.

    Args:
        path: the file.
        units: english, degrees Fahrenheit and miles an hour, or metric, degrees Celsius and kilometres an hour.

    Returns:
        Columns `COLUMNS`, temperature in K and wind speed in m s-1; NaN in lines of "#". Time of each line, NaT
        in these.

    Raises:
        InputError: the file is missing or empty, or a line holds anything else.
    """
    try:
        lines = path.read_text().rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            path, str(error), f"lines of {EXPECTED}", "supply the file, or set `weather: false`"
        ) from error
    rows = [_read_line(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    if not rows:
        raise InputError(path, "an empty file", f"lines of {EXPECTED}", "supply the file, or set `weather: false`")
    values = np.array([values for _, values in rows])
    columns = {name: values[:, column] for column, name in enumerate(COLUMNS)}
    temperature = columns["temperature"]
    columns["temperature"] = (temperature + 459.67) * 5 / 9 if units == "english" else temperature + 273.15
    columns["wind_speed"] *= METRES_PER_SECOND["mph" if units == "english" else "km h-1"]
    return WeatherTable(path, columns, np.array([time for time, _ in rows], "datetime64[s]"))


def drive_frames(table: WeatherTable, first: int, frames: int) -> Float32[np.ndarray, "frame weather_variable"]:
    """Weather that drives each step of a fire: at frame k, row first + k of the table.

    Args:
        table: what `read_wxs` gives.
        first: row of the first frame; before 0 there is no weather.
        frames: number of frames of the fire.

    Returns:
        float32 [frame, weather_variable]: wind_u, wind_v (m s-1, towards) and the columns `KEPT`. NaN where the weather
        is not known, and at the last frame if the table ends before it.

    Raises:
        InputError: too few rows for the fire's steps.
    """
    available, needed = len(table.columns["wind_speed"]), first + frames - 1
    if available < needed:
        expected = f"at least {needed}, for the steps of a fire of {frames} masks from line {first + 1} on"
        remedy = "complete the file, or remove the masks that it does not cover"
        raise InputError(table.path, f"{available} lines", expected, remedy)
    rows = first + np.arange(frames)
    exists = (rows >= 0) & (rows < available)
    own = {name: column[rows[exists]] for name, column in table.columns.items()}
    values = np.full((frames, 2 + len(KEPT)), np.nan, "float32")
    values[exists, :2] = wind_towards(own["wind_speed"], own["wind_direction"])
    values[exists, 2:] = np.stack([own[name] for name in KEPT], axis=1)
    return values


def drive_days(table: WeatherTable, days: np.ndarray, offset: int) -> Float32[np.ndarray, "frame weather_variable"]:
    """Weather that drives each step of a fire whose frames are of days: the mean of the lines from a day to the next.

    Args:
        table: what `read_wxs` gives.
        days: datetime64[s] [frame].
        offset: frame k gets the mean of step k + offset; -1: of the step that ends with it.

    Returns:
        As `drive_frames`; NaN where there is no such step, and where no line of it is known.
    """
    time = np.asarray(table.time, "datetime64[s]")
    lines, frames = drive_frames(table, 0, len(table.columns["wind_speed"])), len(days)
    means = np.full((frames - 1, lines.shape[1]), np.nan, "float32")
    for step, (begin, end) in enumerate(pairwise(days)):
        within = lines[(time >= begin) & (time < end)]
        if len(within):
            means[step] = within.mean(0, dtype="float64")
    if lost := int(np.isnan(means[:, 0]).sum()):
        log.warning("%s: no wind for %d of %d steps: no dated line is of their days", table.path, lost, frames - 1)
    steps = np.arange(frames) + offset
    exists = (steps >= 0) & (steps < len(means))
    weather = np.full((frames, lines.shape[1]), np.nan, "float32")
    weather[exists] = means[steps[exists]]
    return weather


def _read_line(line: str, where: str) -> tuple[datetime | None, list[float]]:
    words = line.split()
    if line.lstrip().startswith("#"):
        return None, [np.nan] * len(COLUMNS)
    try:
        year, month, day, clock = (int(word) for word in words[:4])
        time = datetime(year, month, day) + timedelta(hours=clock // 100, minutes=clock % 100)
        values = [float(word) for word in words[4:]]
    except ValueError as error:
        raise InputError(where, str(error), EXPECTED, REMEDY) from error
    if len(values) != len(COLUMNS):
        raise InputError(where, f"{len(words)} numbers", EXPECTED, REMEDY)
    speed, direction = values[3:5]
    if not usable_wind(np.array(speed), np.array(direction)):
        found = f"wind_speed = {speed:g}, wind_direction = {direction:g}"
        raise InputError(where, found, "wind_speed >= 0 and wind_direction from 0 to 360", REMEDY)
    return time, values
