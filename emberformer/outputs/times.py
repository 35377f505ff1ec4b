"""Times of a forecast, in numbers and in words; all are UTC."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float

Time = np.datetime64 | np.ndarray  # one time; xarray gives an array without axes


def seconds_ahead(forecast: xr.Dataset) -> Float[np.ndarray, " lead"]:
    """Time from `init_time` to each `valid_time` in s."""
    return (forecast.valid_time.values - forecast.init_time.values) / np.timedelta64(1, "s")


def valid_until(forecast: xr.Dataset) -> np.ndarray:
    """End of the time for which each lead is the newest one valid: the next valid time, for the last a frame later."""
    frame = np.timedelta64(round(float(forecast.attrs["seconds_per_frame"])), "s")
    return np.append(forecast.valid_time.values[1:], forecast.valid_time.values[-1] + frame)


def iso(time: Time) -> str:
    """In ISO 8601, whole seconds.

    >>> iso(np.datetime64("2023-03-30T12:30"))
    '2023-03-30T12:30:00Z'
    """
    return f"{np.datetime_as_string(np.asarray(time), unit='s')}Z"


def minutes(time: Time) -> str:
    """For people, whole minutes.

    >>> minutes(np.datetime64("2023-03-30T12:30:40"))
    '2023-03-30 12:30'
    """
    return iso(time)[:16].replace("T", " ")


def stamp(time: Time) -> str:
    """For names of files, whole minutes.

    >>> stamp(np.datetime64("2023-03-30T12:30:40"))
    '20230330_1230Z'
    """
    return f"{minutes(time).replace('-', '').replace(':', '').replace(' ', '_')}Z"


def ahead(seconds: float) -> str:
    """A time after `init_time` in words.

    >>> ahead(0), ahead(1800), ahead(5400), ahead(86400), ahead(90)
    ('now', '+30 min', '+1 h 30 min', '+24 h', '+90 s')
    """
    if seconds == 0:
        return "now"
    if seconds % 60:
        return f"+{seconds:g} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return "+" + " ".join([f"{hours} h"] * (hours > 0) + [f"{rest} min"] * (rest > 0))
