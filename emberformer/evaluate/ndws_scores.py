"""Forecasts of Next Day Wildfire Spread scored as published: every known pixel of the test tiles, pooled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

from emberformer.data.fires import UNKNOWN, fire_rows
from emberformer.data.ndws.stored import published_tiles
from emberformer.data.ndws.tiles import PublishedSplit
from emberformer.errors import InputError
from emberformer.evaluate.folds import PooledScores, pooled_scores

WHOLE = slice(None), slice(None)


class NdwsScores(NamedTuple):
    """Scores of a published split.

    Args:
        pooled: over all pixels with a forecast whose fire of the second day is known.
        without_forecast: share of the pixels whose fire of the second day is known that have no forecast, because that
            of the first day is not. The published scores hold those pixels too: only at 0 are they of the same pixels.
    """

    pooled: PooledScores
    without_forecast: float


def ndws_scores(
    fires: xr.Dataset, forecasts: xr.Dataset, split: PublishedSplit = "test", crop: tuple[slice, slice] = WHOLE
) -> NdwsScores:
    """Scores of a published split, whether or not a pixel burned the day before (scores of new fire are elsewhere).

    Args:
        fires: a store that `read_ndws` filled.
        forecasts: an open forecast store; its lead 1 is scored.
        split: which tiles.
        crop: rows and columns of each tile; by default all of it. Prevalence says which crop the scores are of.

    Raises:
        InputError: a tile of the split has no forecast, or the store has no tile of it.
    """
    known = missing = 0

    def counted() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        nonlocal known, missing
        for forecast, observed in _samples(fires, forecasts, split, crop):
            known += int((observed != UNKNOWN).sum())
            missing += int(((observed != UNKNOWN) & np.isnan(forecast)).sum())
            yield forecast, observed

    pooled = pooled_scores(counted())
    return NdwsScores(pooled, missing / known if known else np.nan)


def _samples(
    fires: xr.Dataset, forecasts: xr.Dataset, split: PublishedSplit, crop: tuple[slice, slice]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Forecast and observation of each tile."""
    tiles = published_tiles(fires, split)
    if not tiles:
        where, remedy = f"data set {fires.attrs['dataset']!r}", f"supply the files of {split!r}"
        raise InputError(where, f"no tile of the published split {split!r}", "at least one", remedy)
    numbers = {name: number for number, name in enumerate(forecasts["fire_id"].values.tolist())}
    lead = forecasts["lead"].values.tolist().index(1)
    for tile_id in tiles:
        if tile_id not in numbers:
            where = f"forecasts of {forecasts.attrs['method']}, {tile_id}"
            remedy = "make forecasts of all tiles of the split"
            raise InputError(where, "no forecast", f"one for each tile of the published split {split!r}", remedy)
        observed = fires["burned"][fire_rows(fires, tile_id).start + 1].values
        yield forecasts["probability"][numbers[tile_id], lead].values[crop], observed[crop]
