"""Forecasts of one fire, made by hand, for the tests of what is written from them."""

from __future__ import annotations

from functools import cache

import numpy as np
import xarray as xr

from emberformer.outputs.fire_forecast import fire_forecast

UTM = "EPSG:32719"  # the Andes of central Chile
INIT_TIME = np.datetime64("2023-03-30T12:30", "s")
ATTRIBUTES = {
    "fire_id": "sequence_001",
    "method": "by hand",
    "model_hash": "0123456789ab",
    "title": "Forecast of sequence_001",
    "seconds_per_frame": 1800.0,
    "provenance": {"emberformer": "0.1.0", "fitted": [1, 2.5, None]},
}


def forecast_of(
    probability: np.ndarray,
    burned: np.ndarray,
    *,
    crs: object | None = UTM,
    corner: tuple[float, float] = (336_000.0, 6_157_000.0),
    cell: tuple[float, float] = (30.0, 30.0),
    south_up: bool = False,
    wind: tuple[float, float] | None = (3.0, 4.0),
) -> xr.Dataset:
    """A forecast from arrays whose first row is in the north.

    Args:
        probability: [lead, y, x].
        burned: [y, x].
        crs: of the map.
        corner: map coordinates of the north-western corner.
        cell: width and height of a pixel on the map.
        south_up: store the same map with its first row in the south.
        wind: m/s towards east and north, at each lead.
    """
    probability, burned = np.asarray(probability), np.asarray(burned)
    leads, rows, columns = probability.shape
    y, x = corner[1] - cell[1] * (np.arange(rows) + 0.5), corner[0] + cell[0] * (np.arange(columns) + 0.5)
    if south_up:
        probability, burned, y = probability[:, ::-1], burned[::-1], y[::-1]
    return fire_forecast(
        probability,
        burned,
        y=y,
        x=x,
        crs=crs,
        init_time=INIT_TIME,
        valid_time=INIT_TIME + 1800 * np.arange(1, leads + 1),
        wind=None if wind is None else np.tile(wind, (leads, 1)),
        attributes=ATTRIBUTES,
    )


def spreading(shape: tuple[int, int] = (24, 30), leads: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A round fire that grows: probability [lead, y, x] that falls off outwards, burned [y, x]."""
    rows, columns = np.indices(shape)
    away = np.hypot(rows - shape[0] / 2 + 0.5, columns - shape[1] / 2 + 0.5)
    burned = (away <= 3.6).astype(np.uint8)
    ahead = [1 / (1 + np.exp((away - 4 - 1.7 * lead) * 1.3)) for lead in range(1, leads + 1)]
    probability = np.where(burned == 1, 1, np.maximum.accumulate(ahead)).astype(np.float32)
    return probability, burned


KINDS = (
    "ordinary",
    "one lead",
    "no fire",
    "nothing forecast",
    "all burned",
    "unknown parts",
    "all unknown",
    "south up",
    "degrees",
    "web mercator",
    "feet",
    "no CRS",
    "no wind",
)


def example(kind: str) -> xr.Dataset:
    """A forecast of one of `KINDS`: an ordinary, an extreme or a differently georeferenced one."""
    return _made(kind).copy(deep=True)


@cache
def _made(kind: str) -> xr.Dataset:
    probability, burned = spreading()
    unknown, unseen = probability.copy(), burned.copy()
    unknown[:, :, 20:], unseen[:, 20:] = np.nan, 255
    pixels = {
        "one lead": (probability[:1], burned),
        "no fire": (np.zeros_like(probability), np.zeros_like(burned)),
        "nothing forecast": (np.stack([burned] * 3).astype(np.float32), burned),
        "all burned": (np.ones_like(probability), np.ones_like(burned)),
        "unknown parts": (unknown, unseen),
        "all unknown": (np.full_like(probability, np.nan), np.full_like(burned, 255)),
    }
    places = {
        "south up": {"south_up": True},
        "degrees": {"crs": "EPSG:4326", "corner": (-70.79, -34.70), "cell": (0.0004, 0.0003)},
        "web mercator": {"crs": "EPSG:3857", "corner": (-7_880_000.0, -4_130_000.0)},
        "feet": {"crs": "EPSG:2229", "corner": (6_500_000.0, 1_900_000.0), "cell": (100.0, 100.0)},
        "no CRS": {"crs": None, "corner": (0.0, 720.0)},
        "no wind": {"wind": None},
    }
    return forecast_of(*pixels.get(kind, (probability, burned)), **places.get(kind, {}))
