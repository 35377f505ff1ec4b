"""Forecasts of WildfireSpreadTS scored as its papers do: every pixel of the crop, every test sample of a year."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from emberformer.data.wsts.samples import TEST_HISTORY, Fold, whole_crop
from emberformer.data.wsts.stored import day_rows, read_burned, wsts_samples
from emberformer.errors import InputError
from emberformer.evaluate.folds import PooledScores, pooled_scores

Crop = Callable[[int, int], tuple[slice, slice]]


def wsts_scores(fires: xr.Dataset, forecasts: xr.Dataset, fold: Fold, crop: Crop = whole_crop) -> PooledScores:
    """Scores of one fold: pooled over all pixels of its test samples.

    A pixel counts whether or not it burned the day before, so that these scores can stand beside published ones; scores
    of new fire are elsewhere. Prevalence says which crop they are of.

    Args:
        fires: a store that `read_wsts` filled.
        forecasts: an open forecast store; its lead 1 is scored.
        fold: the years; only that of the test is read.
        crop: `whole_crop`, or `small_crop` for WSTS+.

    Raises:
        InputError: a test sample has no forecast, or one that is not known everywhere.
    """
    return pooled_scores(scored_samples(fires, forecasts, fold.test, crop))


def scored_samples(
    fires: xr.Dataset, forecasts: xr.Dataset, year: int, crop: Crop
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Forecast and observation of every test sample of a year, on the crop of the fire's own raster."""
    fire_ids, steps = forecasts["fire_id"].values.tolist(), forecasts["init_step"].values.tolist()
    numbers = {key: number for number, key in enumerate(zip(fire_ids, steps, strict=True))}
    lead = forecasts["lead"].values.tolist().index(1)
    for fire_id, first in wsts_samples(fires, (year,), TEST_HISTORY, test=True):
        row = day_rows(fires, fire_id)[first + TEST_HISTORY]
        init_step = int(fires["step"].values[row]) - 1
        where = f"forecasts of {forecasts.attrs['method']}, {fire_id} from step {init_step}"
        if (fire_id, init_step) not in numbers:
            remedy = "make forecasts of all test fires from every step (forecast.every: 1)"
            raise InputError(where, "no forecast", "one for each test sample of the protocol", remedy)
        observed = read_burned(fires, row)
        part = crop(*observed.shape)
        forecast = forecasts["probability"][numbers[fire_id, init_step], lead].values[part]
        if np.isnan(forecast).any():
            remedy = "read the data set with `missing_days: skip`, as its own loader does"
            raise InputError(where, "pixels without a forecast", "a forecast of every pixel of the crop", remedy)
        yield forecast, observed[part]
