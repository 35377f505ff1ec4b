"""Samples of the WildfireSpreadTS protocol from an opened fires store.

Days are counted as the protocol counts them, by position among the days that have a file, however the store fills the
gaps between them (`missing_days`); and rasters are those of the fires, without the padding of the store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float32, UInt8

from emberformer.data.fires import UNKNOWN, fire_position, fire_rows
from emberformer.data.wsts.bands import BANDS, CONDITION_PLACES, CONDITIONS, TERRAIN, TERRAIN_PLACES
from emberformer.data.wsts.days import Day
from emberformer.data.wsts.features import features
from emberformer.data.wsts.samples import first_days
from emberformer.data.wsts.statistics import Statistics, band_statistics


class Sample(NamedTuple):
    """What is known on some days, and where fire was seen on the day after (0 or 1)."""

    features: Float32[np.ndarray, "day feature y x"]
    target: UInt8[np.ndarray, "y x"]


def fires_of(fires: xr.Dataset, years: Collection[int]) -> list[str]:
    """Fires of some years, in the order of the store; the year is that of the folder that a fire lay in."""
    return [str(fire_id) for fire_id in fires["fire_id"].values if int(str(fire_id).split("_")[0]) in years]


def day_rows(fires: xr.Dataset, fire_id: str) -> list[int]:
    """Rows of the `frame` axis that show a day of the source; the frames put in for missing days know nothing."""
    rows = fire_rows(fires, fire_id)
    return [row for row in range(rows.start, rows.stop) if (fires["burned"][row].values != UNKNOWN).any()]


def wsts_samples(fires: xr.Dataset, years: Collection[int], history: int, test: bool = False) -> list[tuple[str, int]]:
    """Fire and first day of every sample of some years, fire by fire.

    Args:
        fires: a store that `read_wsts` filled.
        years: such as those of a `Fold`.
        history: days that are known.
        test: whether the samples are for the test, see `first_days`.
    """
    return [
        (fire_id, first)
        for fire_id in fires_of(fires, years)
        for first in first_days(len(day_rows(fires, fire_id)), history, test)
    ]


def wsts_statistics(fires: xr.Dataset, years: Collection[int]) -> Statistics:
    """Statistics of the bands over all days of some years, one day in memory."""
    return band_statistics(
        day for fire_id in fires_of(fires, years) for day in read_days(fires, fire_id, day_rows(fires, fire_id))
    )


def wsts_features(fires: xr.Dataset, fire_id: str, first: int, history: int, statistics: Statistics) -> Sample:
    """One sample: the 40 features of its days, and what is observed on the day after them.

    Args:
        fires: a store that `read_wsts` filled.
        fire_id: such as "2018_fire_21458798".
        first: number of its first day, from `wsts_samples`.
        history: days that are known.
        statistics: of the training years.

    Raises:
        InputError: there is no such fire.
    """
    rows = day_rows(fires, fire_id)
    if not 0 <= first < len(rows) - history:
        raise ValueError(f"{fire_id} has {len(rows)} days, none for a sample of {history} days and a target at {first}")
    days = list(read_days(fires, fire_id, rows[first : first + history + 1]))
    return Sample(features(np.stack([day.bands for day in days[:-1]]), statistics), days[-1].burned)


def read_days(fires: xr.Dataset, fire_id: str, rows: Iterable[int]) -> Iterator[Day]:
    """Days of a fire as its files had them: the 23 bands in the source's order, on the raster of the fire."""
    terrain = fires["terrain"][int(fires["terrain_index"].values[fire_position(fires, fire_id)])].values
    terrain = terrain[[fires["band"].values.tolist().index(name) for name in TERRAIN]]
    conditions = [fires["condition"].values.tolist().index(name) for name in CONDITIONS]
    for row in rows:
        burned = read_burned(fires, row)
        raster = (slice(None), slice(burned.shape[0]), slice(burned.shape[1]))
        bands = np.empty((len(BANDS), *burned.shape), "float32")
        bands[TERRAIN_PLACES] = terrain[raster]
        bands[CONDITION_PLACES] = fires["conditions"][row].values[conditions][
            raster
        ]  # selecting in Zarr takes 10 times as long
        yield Day(burned, bands)


def read_burned(fires: xr.Dataset, row: int) -> UInt8[np.ndarray, "y x"]:
    """Where fire was seen on a day (0 or 1), without the padding: every pixel of the fire's own raster is known."""
    burned = fires["burned"][row].values
    known = burned != UNKNOWN
    return burned[: int(known.any(1).sum()), : int(known.any(0).sum())]
