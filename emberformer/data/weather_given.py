"""Weather of a new fire: a table over time or one wind, as the vector that drives each step."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float32

from emberformer.data.weather import METRES_PER_SECOND, usable_wind, wind_towards
from emberformer.data_settings import WindUnit
from emberformer.errors import InputError

COLUMNS = {
    "time": ("datetime", "time", "valid_time", "date_time", "timestamp", "date"),
    "speed": ("ws", "wind_speed", "windspeed", "speed", "ff"),
    "direction": ("wd", "wind_direction", "winddirection", "wind_dir", "direction", "dd"),
}
# At the end of the name of a column, after letters and marks are made plain: wind_speed_kmh, "wind speed (m/s)".
SUFFIXES: dict[str, WindUnit] = {"kmh": "km h-1", "km_h": "km h-1", "kph": "km h-1", "km_h_1": "km h-1", "ms": "m s-1",
                                 "m_s": "m s-1", "mps": "m s-1", "m_s_1": "m s-1", "mph": "mph"}  # fmt: skip
DEGREES = ("deg", "degrees", "from", "deg_from")
MOST_WIND = 75.0  # m/s: no surface wind of a fire; a wrong unit
MOST_GAP = np.timedelta64(3 * 3600, "s")  # between rows that are interpolated


@dataclass(frozen=True)
class Wind:
    """Wind of a new fire.

    Args:
        frames: m s-1, towards east and north; row k drives the step from frame k to k + 1 [frame, 2].
        leads: that of the steps to forecast; the first is the newest frame's [lead, 2].
        notes: how it was read.
    """

    frames: Float32[np.ndarray, "frame 2"]
    leads: Float32[np.ndarray, "lead 2"]
    notes: list[str]


def constant_wind(speed: float, direction: float, unit: WindUnit, frames: int, leads: int) -> Wind:
    """One wind for all steps.

    Args:
        speed: in `unit`.
        direction: degrees clockwise from north that it blows FROM.
        unit: of the speed.
        frames: frames of the fire.
        leads: steps to forecast.

    Raises:
        InputError: no such wind.
    """
    _check("--wind-speed and --wind-direction", np.array([speed]), np.array([direction]), unit)
    vector = wind_towards(np.array([speed * METRES_PER_SECOND[unit]]), np.array([direction])).astype(np.float32)
    notes = [f"the wind is {_describe(vector[0])} in all steps"]
    return Wind(np.repeat(vector, frames, 0), np.repeat(vector, leads, 0), notes)


def read_wind(path: Path, time: np.ndarray, dated: bool, minutes: float, leads: int, unit: WindUnit | None) -> Wind:
    """Wind of a table (CSV with a header), interpolated as a vector to the beginning of each step.

    Columns are found by name: time (datetime, time, valid_time ...; ISO 8601, UTC where there is no zone), speed (WS,
    wind_speed ...) and the direction that the wind blows FROM (WD, wind_direction ...), degrees clockwise from north.
    The name of the speed may end in its unit (wind_speed_kmh, wind_speed_m/s, wind_speed_mph).

    Args:
        path: the table.
        time: of the frames, datetime64[s] [frame].
        dated: whether these are real times.
        minutes: length of a step.
        leads: steps to forecast.
        unit: of the speed, where the name of its column does not say.

    Raises:
        InputError: a column is missing, a time or a wind is not usable, or the table does not cover all steps.
    """
    if not dated:
        remedy = (
            "write the time of each frame into its file or the file's name (20240131T1230); `forecast` also takes that "
            "of the first as --start, or one wind as --wind-speed and --wind-direction"
        )
        raise InputError("the perimeters", "no times, but a weather table", "the time of each frame", remedy)
    table = _read_table(path)
    names = {key: _find(path, table, key) for key in COLUMNS}
    unit = _unit_of(path, names["speed"], unit)
    rows = _row_times(path, pd.Series(table[names["time"]]))
    step = np.timedelta64(round(60 * minutes), "s")
    moments = np.concatenate([time, time[-1] + np.arange(1, leads) * step])
    _check_cover(path, rows, moments, len(time))
    begin, end = int(np.searchsorted(rows, moments[0], "right")) - 1, int(np.searchsorted(rows, moments[-1])) + 1
    rows = rows[begin:end]
    speed, direction = (
        np.asarray(pd.to_numeric(pd.Series(table[names[key]]), errors="coerce"), float)[begin:end]
        for key in ("speed", "direction")
    )
    _check(path, speed, direction, unit, begin + 2)
    vectors = wind_towards(speed * METRES_PER_SECOND[unit], direction)
    seconds = (moments - rows[0]).astype(float)
    wind = np.stack([np.interp(seconds, (rows - rows[0]).astype(float), part) for part in vectors.T], 1)
    wind = wind.astype(np.float32)
    first, last = (_describe(wind[row]) for row in (len(time) - 1, len(moments) - 1))
    notes = [f"wind of {path.name} (speed in {unit}): {first} in the first step of the forecast"]
    if leads > 1:
        notes[0] += f", {last} in the last"
    if not np.isin(moments, rows).all():
        notes.append(f"wind of {path.name} is interpolated as a vector to the beginning of each step")
    return Wind(wind[: len(time)], wind[len(time) - 1 :], notes)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, skipinitialspace=True)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise InputError(path, str(error), "a weather table (CSV with a header)", "supply the file again") from error
    if not len(table):
        raise InputError(path, "no rows", "a row an hour, or a step", "supply the weather of the fire")
    return table


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")


def _find(path: Path, table: pd.DataFrame, key: str) -> str:
    suffixes = {"speed": tuple(SUFFIXES), "direction": DEGREES}.get(key, ())
    usual = {*COLUMNS[key], *(f"{name}_{suffix}" for name in COLUMNS[key] for suffix in suffixes)}
    found = [str(name) for name in table if _plain(name) in usual]
    if len(found) != 1:
        raise InputError(
            path,
            f"{f'columns {found}' if found else 'no column'} for {key} among {list(table)}",
            f"one column named {', '.join(COLUMNS[key])} (case does not count)",
            "rename the column, or remove what is double",
        )
    return found[0]


def _unit_of(path: Path, column: str, unit: WindUnit | None) -> WindUnit:
    suffix = re.sub(rf"^({'|'.join(sorted(COLUMNS['speed'], key=len, reverse=True))})_?", "", _plain(column))
    stated = SUFFIXES.get(suffix)
    if stated and unit and stated != unit:
        raise InputError(
            path, f"column {column!r}, which says {stated}", f"--wind-unit {unit!r}", "correct one of the two"
        )
    if not (stated or unit):
        names = f"{column}_kmh, {column}_ms or {column}_mph"
        remedy = f"give --wind-unit (wind_unit of a data set), or rename the column to {names}"
        raise InputError(path, f"column {column!r} without a unit", "'m s-1', 'km h-1' or 'mph'", remedy)
    return stated or unit  # type: ignore[return-value]


def _row_times(path: Path, values: pd.Series) -> np.ndarray:
    times = pd.to_datetime(values.astype(str), format="ISO8601", utc=True, errors="coerce")
    unread = times.isna().to_numpy()
    if unread.any():
        line = int(np.argmax(unread))
        where, found = f"{path}, line {line + 2}", f"{values.name} = {values.to_numpy()[line]}"
        raise InputError(where, found, "a time in ISO 8601", "write times as in 2024-01-31T12:30")
    rows = times.dt.tz_localize(None).to_numpy("datetime64[s]")
    wrong = np.diff(rows) <= np.timedelta64(0, "s")
    if wrong.any():
        line = int(np.argmax(wrong)) + 1
        remedy = "sort the rows and remove what is double"
        found = f"{rows[line]} after {rows[line - 1]}"
        raise InputError(f"{path}, line {line + 2}", found, "each row later than the one before it", remedy)
    return rows


def _check(where: object, speed: np.ndarray, direction: np.ndarray, unit: WindUnit, line: int | None = None) -> None:
    """The wind is one that can drive a fire; `line` is the first one's in the file."""
    usable = usable_wind(speed, direction)
    if not usable.all():
        first = int(np.argmin(usable))
        place = f"{where}, line {line + first}" if line else where
        found = f"speed {speed[first]:g}, direction {direction[first]:g}"
        remedy = "fill in the wind; a wind that is not known cannot drive a fire"
        raise InputError(place, found, "speed >= 0 and direction from 0 to 360", remedy)
    if (most := float(speed.max()) * METRES_PER_SECOND[unit]) > MOST_WIND:
        found, expected = f"a speed of {speed.max():g} {unit} = {most:.0f} m/s", f"at most {MOST_WIND:g} m/s"
        raise InputError(where, found, expected, "correct --wind-unit (wind_unit of a data set) or the speed")


def _check_cover(path: Path, rows: np.ndarray, moments: np.ndarray, frames: int) -> None:
    """Each moment lies at a row, or between two that are not far from each other."""
    before = np.searchsorted(rows, moments, side="right") - 1
    after = np.searchsorted(rows, moments, side="left")
    outside = (before < 0) | (after >= len(rows))
    gap = rows[np.minimum(after, len(rows) - 1)] - rows[np.maximum(before, 0)] > MOST_GAP
    missing = outside | gap
    if not missing.any():
        return
    first = int(np.argmax(missing))
    lead = first >= frames - 1
    wanted = f"step {first - frames + 2} of the forecast" if lead else f"the step from frame {first}"
    held = f"rows from {rows[0]} to {rows[-1]}"
    if not outside[first]:
        held = f"no row between {rows[before[first]]} and {rows[after[first]]}"
    raise InputError(
        path,
        f"{held}; no wind at {moments[first]}, for {wanted}",
        f"wind from {moments[0]} to {moments[-1]} (UTC), rows at most 3 hours apart",
        "add rows of a weather forecast" if lead else "add the rows, or give fewer perimeters",
    )


def _describe(vector: np.ndarray) -> str:
    speed, direction = float(np.hypot(*vector)), float(np.degrees(np.arctan2(-vector[0], -vector[1])) % 360)
    return f"{speed:.1f} m/s ({3.6 * speed:.0f} km/h) from {direction:.0f} degrees"
