"""Isochrones: lines that the forecast fire reaches at the same time."""

from __future__ import annotations

import contourpy
import geopandas
import numpy as np
import pandas as pd
import xarray as xr
from shapely.geometry import MultiLineString

from emberformer.outputs.arrival import THRESHOLD
from emberformer.outputs.fire_forecast import UNKNOWN, north_up
from emberformer.outputs.grid import Grid, grid_of, on_map
from emberformer.outputs.times import ahead, seconds_ahead


def isochrones(forecast: xr.Dataset, threshold: float = THRESHOLD) -> geopandas.GeoDataFrame:
    """Contours of the arrival time at `init_time` and at each valid time.

    The fire has arrived where the probability of being burned is at least the threshold (`arrival_time`), so the
    isochrone of a valid time is the contour of its probability at the threshold, and that of `init_time` the contour of
    `burned` at one half. Lines run between pixel centres, by linear interpolation (marching squares); they end at the
    map's edge and at unknown pixels.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        threshold: probability from which on the fire has arrived.

    Returns:
        A row a time, in the CRS of the map: fire_id, init_time, arrival_time (UTC), arrival_s (s since init_time), lead
        (0 = init_time), threshold, label ("+1 h 30 min"), method, model_hash. Times without a line are left out.
    """
    upright, grid = north_up(forecast), grid_of(forecast)
    burned = upright.burned.values
    fields = [np.where(burned == UNKNOWN, np.nan, burned).astype(float), *upright.probability.values.astype(float)]
    levels = [0.5] + [float(np.float32(threshold))] * upright.sizes["lead"]
    times = [forecast.init_time.values, *forecast.valid_time.values]
    seconds = [0.0, *seconds_ahead(forecast).tolist()]
    lines = [_contour(field, level, grid) for field, level in zip(fields, levels, strict=True)]
    kept = [lead for lead, line in enumerate(lines) if not line.is_empty]

    def column(name: str) -> list[str]:
        return [str(forecast.attrs[name])] * len(kept)

    return geopandas.GeoDataFrame(
        {
            "fire_id": pd.Series(column("fire_id"), dtype=object),
            "init_time": _utc([forecast.init_time.values] * len(kept)),
            "arrival_time": _utc([times[lead] for lead in kept]),
            "arrival_s": pd.Series([seconds[lead] for lead in kept], dtype=float),
            "lead": pd.Series(kept, dtype="int32"),
            "threshold": pd.Series([float(threshold)] * len(kept), dtype=float),
            "label": pd.Series([ahead(seconds[lead]) for lead in kept], dtype=object),
            "method": pd.Series(column("method"), dtype=object),
            "model_hash": pd.Series(column("model_hash"), dtype=object),
        },
        geometry=[lines[lead] for lead in kept],
        crs=grid.crs,
    )


def _contour(field: np.ndarray, level: float, grid: Grid) -> MultiLineString:
    finite = np.ma.masked_invalid(field)
    found = contourpy.contour_generator(z=finite).lines(level)
    pieces = [np.asarray(piece) for piece in found if len(piece) > 1]
    return MultiLineString([np.column_stack(on_map(grid, piece[:, 0] + 0.5, piece[:, 1] + 0.5)) for piece in pieces])


def _utc(times: list[np.datetime64]) -> pd.Series:
    return pd.Series(pd.to_datetime(times, utc=True)).astype("datetime64[ms, UTC]")
